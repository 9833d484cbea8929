"""Stability under noise in HU."""

import numpy as np
import pytest
import torch
from linear_cases import VIEWS
from scipy.stats import spearmanr
from tiny_vits import linear_model, make_images

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.robustness.stability import Stability
from ctxai.explain import InputXGradient, RandomMap

LOW, HIGH = ((end + 600) / 400 for end in VIEWS.hu_window)


def case_of(method):
    images = make_images(method.model, 2).clamp(LOW, HIGH)
    return ExplanationBatch(images, method.attribute(images, 1), target=1, method=method, views=VIEWS, seed=3)


def test_without_noise_every_map_is_perfectly_stable():
    model = linear_model()
    for method in (InputXGradient(model), RandomMap(model)):
        np.testing.assert_allclose(Stability(noise_hu=0, draws=2).score(case_of(method)), 1)


def test_a_map_that_changes_with_any_pixel_is_not_stable():
    assert (np.abs(Stability(draws=20).score(case_of(RandomMap(linear_model())))) < 0.3).all()


def test_noise_is_in_hu_and_stays_in_the_window():
    batch = case_of(InputXGradient(linear_model()))
    noise = torch.randn(4, 1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    expected = np.zeros(2)
    for field in noise:
        noisy = (batch.images + field * 50 / 400).clamp(LOW, HIGH)
        maps = batch.method.attribute(noisy, 1)
        pairs = zip(batch.maps, maps, strict=True)
        expected += [spearmanr(a.flatten(), b.flatten()).statistic / 4 for a, b in pairs]
    np.testing.assert_allclose(Stability(noise_hu=50, draws=4).score(batch), expected, rtol=1e-6)


def test_more_noise_is_less_stable():
    batch = case_of(InputXGradient(linear_model()))
    assert (Stability(noise_hu=10).score(batch) > Stability(noise_hu=200).score(batch)).all()


@pytest.mark.parametrize("options", [{"draws": 0}, {"noise_hu": -1.0}])
def test_no_draw_and_negative_noise_are_refused(options):
    with pytest.raises(InputError, match="draw"):
        Stability(**options)
