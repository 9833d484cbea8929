import pytest
import torch
from tiny_vits import as_grid, assert_maps_equal, check_contract, make_images, make_model, query_row, record, vit_of

from ctxai.errors import InputError
from ctxai.explain import GradCAM


def naive_token_form(model, image, target):
    own = record(model, image)
    tokens = own.normed[-1]
    gradient = torch.autograd.grad(own.outputs[target], tokens)[0][0, vit_of(model).num_prefix_tokens :]
    return as_grid(model, (tokens[0] @ gradient.mean(dim=0)).clamp(min=0))


def naive_attention_form(model, image, target):
    own = record(model, image)
    gradient = torch.autograd.grad(own.outputs[target], own.attention[-1])[0][0]
    heads = []
    for attention, by_head in zip(own.attention[-1][0], gradient, strict=True):
        weight = query_row(model, by_head)[vit_of(model).num_prefix_tokens :].mean()
        heads.append(weight * query_row(model, attention))
    return as_grid(model, torch.stack(heads).mean(dim=0).clamp(min=0))


@pytest.mark.parametrize(
    "kind", ["vit", "wide grid", "registers", "rotary", "pooled", "two sizes of tokens", "classifier"]
)
@pytest.mark.parametrize(("form", "naive"), [("token", naive_token_form), ("attention", naive_attention_form)])
def test_grad_cam_follows_its_convention(kind, form, naive):
    model = make_model(kind)
    images = make_images(model)
    maps = GradCAM(model, form).attribute(images, [0, 1, 2, 3, 4])
    expected = torch.stack([torch.stack([naive(model, image, target) for target in range(5)]) for image in images])
    assert_maps_equal(maps, expected)


def test_another_form_is_refused():
    with pytest.raises(InputError, match="form"):
        GradCAM(make_model("vit"), form="layer")


@pytest.mark.parametrize("form", ["token", "attention"])
def test_grad_cam_keeps_the_contract(form):
    check_contract(GradCAM, form=form)
