"""Gradients on pixels along paths from clinical baselines."""

import numpy as np
import pytest
import torch
from path_reference import SCALE, path_map
from tiny_vits import check_contract, linear_model, make_images, make_model, pixel_weights

from ctxai.errors import InputError
from ctxai.explain import Concept, Contrast, PathGradients
from ctxai.explain.clinical_baselines import make_clinical_baseline
from ctxai.explain.methods.path_gradients import FADE_MM

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


def test_the_map_fades_outside_the_nodule_that_the_model_outlines():
    model = make_model("classifier")
    images = make_images(model, 2)
    shares = torch.zeros(2, 8, 8, dtype=images.dtype)
    shares[:, 2:5, 3:5] = 0.9
    shares[1] *= 0.4  # nowhere half: half of the largest share is taken
    shares[:, 7, 7] = 0.1
    model.has_outline, model.outline = True, lambda batch: shares
    plain, faded = (PathGradients(model, draws=2, fade_mm=fade).attribute(images, 1) for fade in (None, 1.5))
    pixels = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), axis=-1)
    for share, before, after in zip(shares, plain, faded, strict=True):
        fine = torch.nn.functional.interpolate(share[None, None], (32, 32), mode="bilinear")[0, 0].numpy()
        inside = np.argwhere(fine >= min(0.5, fine.max() / 2))
        distance_mm = SCALE.mm_per_pixel * np.linalg.norm(pixels[:, :, None] - inside, axis=-1).min(-1)
        expected = before.numpy() * np.exp(-(distance_mm**2) / (2 * 1.5**2))
        np.testing.assert_allclose(after, expected, rtol=1e-6)


def test_maps_of_a_run_that_outlines_nodules_fade():
    options = PathGradients.options_for(SCALE, 1, outlined=True)
    assert options["fade_mm"] == FADE_MM
    model = make_model("classifier")
    model.has_outline = True
    assert PathGradients(model, **options).options["fade_mm"] == FADE_MM
    model.has_outline = False
    with pytest.raises(InputError, match="outlines"):
        PathGradients(model, **options)


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
