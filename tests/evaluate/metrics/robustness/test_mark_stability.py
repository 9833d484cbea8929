"""Stability under a moved mark where it is known."""

import pytest
import torch
from tiny_vits import make_images, make_model

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.robustness.mark_stability import MarkStability
from ctxai.explain.base import METHODS, Attribution, list_methods

VIEWS = ViewConfig(pixels=32, field_of_view_mm=32.0)


@pytest.fixture
def of_pixels(monkeypatch):
    """A map that moves with the image, and one that stays."""
    list_methods()
    monkeypatch.setattr(METHODS, "_items", dict(METHODS._items))

    class Moves(Attribution):
        name = "moves"
        signed = True
        class_specific = False
        resolution = "pixel"
        reference = "here"

        def _maps(self, network, images, targets):
            return images.mean(dim=1)[None]

    class Stays(Moves):
        name = "stays"

        def _maps(self, network, images, targets):
            return torch.arange(32 * 32).view(1, 1, 32, 32).to(images).expand(1, len(images), 32, 32) % 37

    return Moves, Stays


def score(kind, **options):
    model = make_model("vit")
    images = make_images(model)
    method = kind(model)
    batch = ExplanationBatch(images, method.attribute(images), model, method=method, views=VIEWS)
    return MarkStability(**options).score(batch)


def test_a_map_that_moves_with_the_image_is_stable_and_one_that_stays_is_not(of_pixels):
    moves, stays = of_pixels
    assert score(moves).tolist() == [1, 1]
    assert abs(score(stays)).max() < 0.5


def test_a_shift_that_is_none_or_leaves_the_image_is_refused(of_pixels):
    with pytest.raises(InputError, match="above 0"):
        MarkStability(shift_mm=0)
    with pytest.raises(InputError, match="within the image"):
        score(of_pixels[0], shift_mm=40.0)
