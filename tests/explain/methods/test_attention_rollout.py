import pytest
import torch
from tiny_vits import as_grid, assert_maps_equal, check_contract, make_images, make_model, query_row, record

from ctxai.errors import InputError
from ctxai.explain import AttentionRollout


def naive_rollout(model, image, start=0, discard=0.0, fuse=lambda heads: heads.mean(dim=0)):
    product = None
    for attention in record(model, image).attention[start:]:
        matrix = fuse(attention[0].detach())
        flat = matrix.flatten().clone()
        for index in flat.argsort()[: int(len(flat) * discard)]:
            if index != 0:
                flat[index] = 0
        matrix = flat.reshape(matrix.shape) + torch.eye(len(matrix)).to(matrix)
        matrix = matrix / matrix.sum(dim=1, keepdim=True)
        product = matrix if product is None else matrix @ product
    return as_grid(model, query_row(model, product))


@pytest.mark.parametrize("kind", ["vit", "registers", "rotary", "pooled", "no class token", "two sizes of tokens"])
def test_rollout_is_the_product_of_row_normalised_attention(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = torch.stack([naive_rollout(model, image) for image in images])
    assert_maps_equal(AttentionRollout(model).attribute(images), expected)


@pytest.mark.parametrize(
    ("options", "fuse"),
    [
        ({"start": 1}, lambda heads: heads.mean(dim=0)),
        ({"start": -1, "head_fusion": "max"}, lambda heads: heads.amax(dim=0)),
        ({"discard_ratio": 0.4, "head_fusion": "min"}, lambda heads: heads.amin(dim=0)),
    ],
)
def test_options_change_what_is_multiplied(options, fuse):
    model = make_model("vit")
    images = make_images(model)
    start, discard = options.get("start", 0), options.get("discard_ratio", 0.0)
    expected = torch.stack([naive_rollout(model, image, start, discard, fuse) for image in images])
    assert_maps_equal(AttentionRollout(model, **options).attribute(images), expected)


@pytest.mark.parametrize("options", [{"start": 3}, {"start": -4}, {"discard_ratio": 1.0}, {"head_fusion": "sum"}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        AttentionRollout(make_model("vit"), **options)


def test_rollout_keeps_the_contract():
    check_contract(AttentionRollout, discard_ratio=0.2)
