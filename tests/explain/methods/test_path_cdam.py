"""CDAM along paths from clinical baselines."""

import numpy as np
import pytest
import torch
from path_reference import path_map
from tiny_vits import as_grid, check_contract, make_images, make_model

from ctxai.errors import InputError
from ctxai.explain import Concept, Contrast, PathCDAM


def one_gradient_of(model, block, target):
    """The change of a block's normalised tokens times their gradient at one step, every token as a square of pixels."""
    tokens = []

    def record(module, inputs, output):
        if output.requires_grad:
            output.retain_grad()
        tokens.append(output)

    def one_gradient(image, start, step):
        handle = model.blocks[block].norm1.register_forward_hook(record)
        tokens.clear()
        with torch.no_grad():
            model(image), model(start)
        model((start + step * (image - start)).requires_grad_())[:, target].sum().backward()
        handle.remove()
        at_image, at_start, between = tokens
        grid = as_grid(model, ((at_image - at_start) * between.grad).sum(dim=-1)[0])
        pixels = image.shape[2] // len(grid)
        return grid.repeat_interleave(pixels, 0).repeat_interleave(pixels, 1)

    return one_gradient


@pytest.mark.parametrize("block", [0, -1])
@pytest.mark.parametrize(
    "options",
    [
        {"shift_mm": 0.0, "turns": 1, "sigma_mm": 0.0, "baselines": ["lung"]},
        {"shift_mm": 2.0, "turns": 8, "sigma_mm": 0.5, "baselines": ["lung", "blur"]},
    ],
)
@pytest.mark.parametrize("kind", ["vit", "two sizes of tokens"])
def test_it_is_the_change_of_tokens_times_their_mean_gradient(kind, block, options):
    model = make_model(kind)
    image = make_images(model, 1)
    expected = path_map(image, one_gradient_of(model, block, 2), 4, **options)
    found = PathCDAM(model, block=block, draws=4, **options).attribute(image, 2)
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-4)


def test_a_block_that_the_model_has_not_is_refused():
    with pytest.raises(InputError, match="expected a block"):
        PathCDAM(make_model("vit"), block=9)


def test_it_keeps_the_contract():
    check_contract(PathCDAM, ["vit", "wide grid", "registers", "two sizes of tokens", "classifier"], draws=2, turns=8)


def test_concepts_and_contrasts_are_explained_in_one_go():
    model = make_model("classifier")
    images = make_images(model)
    targets = [Contrast("margin", "texture"), Concept.from_images(model, images), 2]
    maps = PathCDAM(model, draws=2).attribute(images, targets)
    assert maps.shape == (2, 3, 32, 32)
    torch.testing.assert_close(maps[:, 0], PathCDAM(model, draws=2).attribute(images, targets[0]))
