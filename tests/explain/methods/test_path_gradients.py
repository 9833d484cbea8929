"""Gradients on pixels along paths from clinical baselines."""

import numpy as np
import pytest
import torch
from path_reference import SCALE, path_map
from tiny_vits import check_contract, linear_model, make_images, make_model, pixel_weights

from ctxai.explain import Concept, Contrast, PathGradients
from ctxai.explain.clinical_baselines import make_clinical_baseline

PLAIN = {"shift_mm": 0.0, "sigma_mm": 0.0, "baselines": ["lung"]}


@pytest.mark.parametrize("baseline", ["lung", "blur"])
def test_of_a_linear_model_the_map_is_the_change_times_the_weights(baseline):
    model = linear_model()
    images = make_images(model)
    change = images - make_clinical_baseline(baseline, images, SCALE)
    expected = (change * pixel_weights(model, 2)).sum(dim=1)
    expected = expected / expected.abs().mean(dim=(1, 2), keepdim=True)
    found = PathGradients(model, draws=3, **PLAIN | {"baselines": [baseline]}).attribute(images, 2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["vit", "rotary", "two sizes of tokens"])
def test_the_unscaled_map_sums_to_the_change_of_the_output(kind):
    model = make_model(kind)
    images = make_images(model, 1)
    start = make_clinical_baseline("blur", images, SCALE)
    weights = 0
    for k in range(400):
        at = (start + (k + 0.5) / 400 * (images - start)).requires_grad_()
        weights = weights + torch.autograd.grad(model(at)[:, 1].sum(), at)[0] / 400
    expected = ((images - start) * weights).sum(dim=1)
    change = (model(images) - model(start))[:, 1]
    torch.testing.assert_close(expected.sum(dim=(1, 2)), change, rtol=1e-2, atol=1e-3)
    found = PathGradients(model, draws=400, **PLAIN | {"baselines": ["blur"]}).attribute(images, 1)
    torch.testing.assert_close(found, expected / expected.abs().mean())


@pytest.mark.parametrize(
    "options",
    [
        {"shift_mm": 2.0, "turns": 8, "sigma_mm": 0.5, "baselines": ["lung", "blur"]},
        {"shift_mm": 1.0, "turns": 1, "sigma_mm": 0.0, "baselines": ["blur"]},
    ],
)
def test_shifts_turns_and_smoothing_are_those_of_a_slow_reference(options):
    model = make_model("vit")
    images = make_images(model, 2)

    def one_gradient(image, start, step):
        at = (start + step * (image - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(model(at)[:, 1].sum(), at)
        return (gradient * (image - start)).sum(dim=1)[0]

    found = PathGradients(model, draws=5, **options).attribute(images, 1)
    for image, map_ in zip(images.split(1), found, strict=True):
        np.testing.assert_allclose(map_, path_map(image, one_gradient, 5, **options), rtol=1e-3, atol=1e-4)


def test_it_keeps_the_contract():
    check_contract(
        PathGradients, ["vit", "wide grid", "registers", "two sizes of tokens", "classifier"], draws=2, turns=8
    )


def test_concepts_and_contrasts_are_explained_in_one_go():
    model = make_model("classifier")
    images = make_images(model)
    targets = [Contrast("margin", "texture"), Concept.from_images(model, images), 2]
    maps = PathGradients(model, draws=2).attribute(images, targets)
    assert maps.shape == (2, 3, 32, 32)
    torch.testing.assert_close(maps[:, 0], PathGradients(model, draws=2).attribute(images, targets[0]))
