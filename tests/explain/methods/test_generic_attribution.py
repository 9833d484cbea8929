import pytest
import torch
from tiny_vits import (
    CLASS_TOKEN_KINDS,
    as_grid,
    assert_maps_equal,
    check_contract,
    make_images,
    make_model,
    query_row,
    record,
)

from ctxai.explain import GenericAttribution


def naive_generic(model, image, target, start=0):
    own = record(model, image)
    relevance = torch.eye(own.tokens[0].shape[1], dtype=image.dtype)
    for attention in own.attention[start:]:
        gradient = torch.autograd.grad(own.outputs[target], attention, retain_graph=True)[0]
        relevance = relevance + (gradient * attention)[0].detach().clamp(min=0).mean(dim=0) @ relevance
    return as_grid(model, query_row(model, relevance))


@pytest.mark.parametrize("kind", [*CLASS_TOKEN_KINDS, "rotary", "distilled", "pooled", "class and mean"])
def test_relevance_is_accumulated_through_the_blocks(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = torch.stack([naive_generic(model, image, 3) for image in images])
    assert_maps_equal(GenericAttribution(model).attribute(images, 3), expected)


@pytest.mark.parametrize("start", [1, -1])
def test_accumulation_can_begin_at_a_later_block(start):
    model = make_model("vit")
    images = make_images(model)
    expected = torch.stack([naive_generic(model, image, 0, start) for image in images])
    assert_maps_equal(GenericAttribution(model, start=start).attribute(images, 0), expected)


def test_single_precision_is_within_a_ten_thousandth():
    exact = make_model("vit")
    model = make_model("vit", torch.float32)
    expected = naive_generic(exact, make_images(exact, 1)[0], 0)
    maps = GenericAttribution(model).attribute(make_images(model, 1), 0)[0].double()
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_generic_attribution_keeps_the_contract():
    check_contract(GenericAttribution)
