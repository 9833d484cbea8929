import pytest
import torch
from tiny_vits import as_grid, assert_maps_equal, check_contract, make_images, make_model, query_row, record, vit_of

from ctxai.errors import InputError
from ctxai.explain import TokenTM


def transformation(before, after, scale):
    ratio = after.norm(dim=1) / (before.norm(dim=1) + 1e-8)
    cosine = (before * after).sum(dim=1) / (before.norm(dim=1) * after.norm(dim=1))
    return torch.diag(ratio * scale * cosine.exp() / cosine.exp().sum())


def naive_tokentm(model, image, target, value_proj=False, scale=1.0, mean_of_products=False):
    own = record(model, image)
    tokens = [one[0].detach() for one in own.tokens]
    identity = torch.eye(len(tokens[0]), dtype=image.dtype)
    contribution = torch.diag(tokens[0].norm(dim=1))
    for index, attention in enumerate(own.attention):
        gradient = torch.autograd.grad(own.outputs[target], attention, retain_graph=True)[0][0].clamp(min=0)
        attention = attention[0].detach()
        middle = own.middle[index][0].detach()
        transformed = middle
        if value_proj:
            attn = vit_of(model).blocks[index].attn
            transformed = attn.proj(attn.qkv(own.normed[index][0])[:, -middle.shape[1] :]).detach()
        weights = transformation(tokens[index], transformed, scale)
        if mean_of_products:
            update = ((attention @ weights) * gradient).mean(dim=0)
        else:
            update = (attention.mean(dim=0) @ weights) * gradient.mean(dim=0)
        by_mlp = transformation(middle, tokens[index + 1], scale)
        contribution = (identity + by_mlp) @ (identity + update) @ contribution
    return as_grid(model, query_row(model, contribution))


@pytest.mark.parametrize(
    "kind", ["vit", "wide grid", "registers", "rotary", "pooled", "two sizes of tokens", "classifier"]
)
def test_tokentm_multiplies_transformed_attention_through_the_blocks(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = torch.stack([naive_tokentm(model, image, 2) for image in images])
    assert_maps_equal(TokenTM(model).attribute(images, 2), expected)


@pytest.mark.parametrize(
    ("options", "naive"),
    [
        ({"transformed": "value_proj"}, {"value_proj": True}),
        ({"necc_scale": "n"}, {"scale": 17.0}),
        ({"necc_scale": 2.5}, {"scale": 2.5}),
        ({"heads": "mean_of_products"}, {"mean_of_products": True}),
    ],
)
def test_both_readings_and_every_option_follow_their_equation(options, naive):
    model = make_model("vit")
    images = make_images(model)
    expected = torch.stack([naive_tokentm(model, image, 2, **naive) for image in images])
    assert_maps_equal(TokenTM(model, **options).attribute(images, 2), expected)


@pytest.mark.parametrize("options", [{"transformed": "mlp"}, {"necc_scale": 0}, {"necc_scale": "m"}, {"heads": "max"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        TokenTM(make_model("vit"), **options)


def test_tokentm_keeps_the_contract():
    check_contract(TokenTM)
