import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from ctxai.evaluate.predictions.scores import (
    area_under_curve,
    average_precision,
    brier_score,
    calibration_error,
    macro_mean,
    rank_correlation,
)


@pytest.fixture(params=[0, 1, 2])
def sample(request):
    """Classes and scores with many ties."""
    generator = np.random.default_rng(request.param)
    labels = generator.integers(0, 2, 150)
    return labels, np.clip(np.round(0.3 * labels + generator.uniform(0, 0.7, 150), 1), 0, 1)


def test_areas_are_those_of_scikit_learn(sample):
    assert area_under_curve(*sample) == pytest.approx(roc_auc_score(*sample), abs=1e-12)
    assert average_precision(*sample) == pytest.approx(average_precision_score(*sample), abs=1e-12)


def test_brier_score_and_rank_correlation_are_those_of_the_libraries(sample):
    labels, scores = sample
    assert brier_score(labels, scores) == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)
    assert rank_correlation(labels, scores) == pytest.approx(spearmanr(labels, scores).statistic, abs=1e-12)


def test_calibration_error_is_that_of_torchmetrics():
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(0, 1, 300)
    labels = generator.integers(0, 2, 300)
    expected = binary_calibration_error(torch.tensor(probabilities), torch.tensor(labels), n_bins=10, norm="l1")
    assert calibration_error(labels, probabilities) == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    labels = np.array([1, 0, 0, 0, 1, 1, 1, 1])
    probabilities = np.array([0.15] * 4 + [0.75] * 4)  # observed 0.25 and 1.0
    assert calibration_error(labels, probabilities) == pytest.approx((0.10 + 0.25) / 2)
    assert calibration_error(np.array([1, 0]), np.array([1.0, 0.0])) == 0


def test_one_class_and_constants_have_no_value():
    ones, scores = np.ones(5, int), np.arange(5.0)
    assert np.isnan(area_under_curve(ones, scores)) and np.isnan(area_under_curve(1 - ones, scores))
    assert np.isnan(average_precision(1 - ones, scores))
    assert np.isnan(rank_correlation(np.ones(5), scores)) and np.isnan(rank_correlation(scores[:2], scores[:2]))


def test_every_level_of_a_scale_counts_the_same():
    errors, ratings = np.array([1.0, 1.0, 1.0, 4.0]), np.array([5.0, 5.0, 4.5, 1.2])
    assert macro_mean(errors, ratings) == pytest.approx((1 + 4) / 2)
