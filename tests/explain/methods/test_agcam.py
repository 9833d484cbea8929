import pytest
import torch
from tiny_vits import as_grid, assert_maps_equal, check_contract, make_images, make_model, query_row, record

from ctxai.explain import AGCAM

KINDS = [
    "vit",
    "wide grid",
    "registers",
    "distilled",
    "query and key norm",
    "pooled",
    "two sizes of tokens",
    "classifier",
]


def naive_agcam(model, image, target, essential=True):
    own = record(model, image, essential)
    total = 0
    for attention, scores in zip(own.attention, own.scores, strict=True):
        gradient = torch.autograd.grad(own.outputs[target], attention, retain_graph=True)[0]
        total = total + (gradient.clamp(min=0) * scores.sigmoid())[0].sum(dim=0)
    return as_grid(model, query_row(model, total))


@pytest.mark.parametrize("kind", KINDS)
def test_agcam_follows_the_essential_gradient_path(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = torch.stack([naive_agcam(model, image, 1) for image in images])
    assert_maps_equal(AGCAM(model).attribute(images, 1), expected)


def test_the_full_gradient_would_give_another_map():
    model = make_model("vit")
    images = make_images(model, 1)
    full = naive_agcam(model, images[0], 1, essential=False)
    assert not torch.allclose(AGCAM(model).attribute(images, 1)[0], full, rtol=1e-2)


def test_only_the_class_tokens_row_has_an_essential_gradient():
    own = record(make_model("vit"), make_images(make_model("vit"), 1)[0], essential=True)
    for gradient in torch.autograd.grad(own.outputs[0], own.attention):
        assert gradient[:, :, 0].any()
        assert not gradient[:, :, 1:].any()


def test_agcam_keeps_the_contract():
    check_contract(AGCAM)
