import json

import numpy as np
import pytest
from scipy.special import expit

from ctxai.data.labels import TARGETS
from ctxai.errors import RunError
from ctxai.run.calibration import Calibration, conformal_half_width, other_probabilities


def fit(logits, labels, errors=None):
    truths = np.full((len(logits), len(TARGETS)), 3.0)
    predictions = truths + (0 if errors is None else np.asarray(errors)[:, None])
    return Calibration.fit(np.asarray(logits, float), np.asarray(labels, float), predictions, truths)


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (10, 10), (19, 18), (99, 90), (100, 91)])
def test_the_half_width_is_the_documented_order_statistic(n, rank):
    errors = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert conformal_half_width(errors, 0.1) == rank  # ceil((n + 1) * 0.9)


def test_too_few_nodules_give_no_half_width_and_the_whole_scale():
    assert conformal_half_width(np.zeros(8), 0.1) is None
    low, high = fit([0.0] * 4, [0, 1, 0, 1]).interval("calcification", np.array([2.0, 5.0]))
    assert low.tolist() == [1, 1] and high.tolist() == [6, 6]


def test_split_conformal_intervals_cover_new_nodules_as_promised():
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        errors = generator.standard_exponential(60)
        covered.append((errors[50:] <= conformal_half_width(errors[:50], 0.1)).mean())
    # ceil(51 * 0.9) / 51 = 0.902 in expectation, standard error 0.007
    assert np.mean(covered) == pytest.approx(46 / 51, abs=0.025)


def test_platt_scaling_recovers_a_known_slope_and_intercept():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 1.5, 20000)
    labels = generator.random(20000) < expit(2.0 * logits - 1.0)
    calibration = fit(logits, labels)
    assert calibration.slope == pytest.approx(2.0, abs=0.1)
    assert calibration.intercept == pytest.approx(-1.0, abs=0.1)


def test_a_probability_stays_within_what_the_calibration_nodules_support():
    calibration = fit(np.linspace(-3, 3, 40), [0] * 30 + [1] * 10)
    far = np.array([-1e3, 1e3])
    np.testing.assert_allclose(calibration.probability(far), [1 / 32, 11 / 12])
    low, high = calibration.probability_interval(far)
    assert low[0] == 1 / 32 and high[1] == 11 / 12
    np.testing.assert_allclose([high[0], low[1]], [1 - 0.05 ** (1 / 31), 0.05 ** (1 / 11)])  # no exception in 30, in 10
    assert not np.isin(calibration.score(np.array([4.0, 5.0])), calibration.score(far)).any()


def test_the_interval_of_a_probability_covers_the_true_one_as_promised():
    generator = np.random.default_rng(3)
    at = np.array([-1.0, 0.0, 1.5])
    covered = []
    for _ in range(300):
        logits = generator.normal(0, 1, 150)
        low, high = fit(logits, generator.random(150) < expit(1.5 * logits + 0.3)).probability_interval(at)
        covered.append((low <= expit(1.5 * at + 0.3)) & (expit(1.5 * at + 0.3) <= high))
    # 90 % of 300: standard error 1.7 %
    np.testing.assert_allclose(np.mean(covered, axis=0), 0.9, atol=0.06)


def test_without_calibration_nodules_the_interval_of_a_probability_is_everything():
    low, high = Calibration().probability_interval(np.array([0.0]))
    assert (low, high) == (0, 1)


def test_separable_nodules_get_finite_probabilities():
    calibration = fit([-2, -1, 1, 2], [0, 0, 1, 1])
    probability = calibration.probability(np.array([-2.0, 2.0]))
    assert 0.05 < probability[0] < 0.3 and probability[0] == pytest.approx(1 - probability[1], abs=1e-3)


def test_calibration_never_reorders_nodules_even_when_the_logits_are_wrong():
    calibration = fit([-2, -1, 1, 2], [1, 1, 0, 0])
    assert calibration.slope > 0


def test_nodules_without_a_class_count_for_the_intervals_only():
    known = fit([-1, 1, -0.5, 0.7], [0, 1, 0, 1])
    more = fit([-1, 1, -0.5, 0.7, 9.0], [0, 1, 0, 1, np.nan])
    assert more.slope == known.slope
    assert (known.counts["malignancy"], more.counts["malignancy"]) == (4, 5)


def test_intervals_stay_on_the_scale():
    calibration = fit(np.zeros(20), [0, 1] * 10, errors=np.linspace(0, 1, 20))
    low, high = calibration.interval("malignancy", np.array([1.2, 3.0]))
    width = calibration.half_widths["malignancy"]
    np.testing.assert_allclose(low, [1.0, 3 - width])
    np.testing.assert_allclose(high, [1.2 + width, 3 + width])


def test_json_gives_the_same_calibration_back():
    calibration = fit(np.linspace(-1, 1, 20), [0, 1] * 10, errors=np.linspace(0, 1, 20))
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


@pytest.mark.parametrize("damage", [{"slope": None}, {"half_widths": {}}, {"counts": 3}])
def test_damaged_files_are_refused(damage):
    with pytest.raises(RunError, match=r"calibration\.json: damaged"):
        Calibration.from_json(Calibration().to_json() | damage)


def test_a_temperature_recovers_a_known_one():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 20000)
    labels = (generator.random(20000) < expit(logits / 2.5)).astype(float)
    found = other_probabilities(logits, labels, np.array([1.0, -3.0]))
    np.testing.assert_allclose(found["temperature"], expit(np.array([1.0, -3.0]) / 2.5), atol=0.01)
    np.testing.assert_array_equal(found["none"], expit(np.array([1.0, -3.0])))


def test_isotonic_probabilities_are_the_shares_of_pooled_nodules():
    logits, labels = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    found = other_probabilities(logits, labels, np.array([-9.0, -1.0, 0.0, 9.0]))["isotonic"]
    np.testing.assert_allclose(found, [0, 0.5, 0.5, 1])


def test_separable_nodules_give_finite_other_probabilities():
    found = other_probabilities(np.array([-2.0, -1, 1, 2]), np.array([0.0, 0, 1, 1]), np.array([-1.0, 1.0]))
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["temperature"][0] < 0.5 < found["temperature"][1]
