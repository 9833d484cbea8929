"""Fidelity where it is known, and against curves made one image at a time."""

import numpy as np
import pytest
import torch
from linear_cases import AddingUp, one_pixel_case, random_case, slow_curve

from ctxai.evaluate.explanations.perturb import steps_of
from ctxai.evaluate.metrics.faithfulness.fidelity import Fidelity, FidelityNormalised

METRICS = [Fidelity, FidelityNormalised]


@pytest.mark.parametrize("metric", METRICS)
def test_the_one_pixel_that_counts_scores_all_but_the_first_step(metric):
    batch = one_pixel_case()
    assert metric("zero", steps=16).score(batch)[0] == 15 / 16
    assert metric("zero", steps=16).score(one_pixel_case(maps=-batch.maps))[0] == -15 / 16


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("fill", ["zero", "lung_mean", "noise"])
def test_the_map_of_opposite_sign_scores_exactly_the_opposite_and_a_constant_one_exactly_nothing(metric, fill):
    batch = random_case()
    score = metric(fill).score(batch)
    assert (np.abs(score) > 1e-3).all()
    np.testing.assert_array_equal(metric(fill).score(random_case(maps=-batch.maps)), -score)
    np.testing.assert_array_equal(metric(fill).score(random_case(maps=torch.full_like(batch.maps, 0.1))), 0)


@pytest.mark.parametrize("steps", [5, 40])
def test_scores_agree_with_curves_made_one_image_at_a_time(steps):
    batch = random_case(maps=torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(5)))
    counts = steps_of(batch, steps)
    for place in range(3):
        most = slow_curve(batch, place, True, counts, "blur")[:, 1]
        least = slow_curve(batch, place, False, counts, "blur")[:, 1]
        area = np.trapezoid(least - most, np.linspace(0, 1, steps + 1))
        assert Fidelity("blur", steps).score(batch)[place] == pytest.approx(float(area))
        span = float(max(most.max(), least.max()) - min(most.min(), least.min()))
        assert FidelityNormalised("blur", steps).score(batch)[place] == pytest.approx(float(area) / span)


def test_the_normalised_score_does_not_depend_on_the_models_scale_and_stays_within_one():
    batch = random_case()
    larger = random_case(model=AddingUp(100 * batch.model.weights, constant=7.0))
    np.testing.assert_allclose(FidelityNormalised("zero").score(larger), FidelityNormalised("zero").score(batch))
    np.testing.assert_allclose(Fidelity("zero").score(larger), 100 * Fidelity("zero").score(batch))
    assert (FidelityNormalised("zero").score(batch) <= 1).all()


def test_a_model_that_reacts_to_nothing_has_no_normalised_score():
    batch = random_case(model=AddingUp(torch.zeros(3, 2, 6, 6).double(), constant=1.0))
    assert Fidelity("zero").score(batch).tolist() == [0, 0, 0]
    assert np.isnan(FidelityNormalised("zero").score(batch)).all()


def test_the_exact_contributions_score_best_of_many_maps():
    batch = random_case()
    best = Fidelity("zero", 36).score(batch)
    for seed in range(20):
        maps = torch.randn(batch.maps.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert (Fidelity("zero", 36).score(random_case(maps=maps)) < best).all()
