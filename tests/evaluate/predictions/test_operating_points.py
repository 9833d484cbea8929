import numpy as np
import pytest

from ctxai.errors import InputError
from ctxai.evaluate.predictions.operating_points import POINTS, calls, choose_thresholds, rates


def test_thresholds_are_the_ones_that_a_search_over_all_would_find():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 90)
    probabilities = np.round(np.clip(0.4 * labels + generator.uniform(0, 0.6, 90), 0, 1), 2)
    found = choose_thresholds(labels, probabilities)

    def at(threshold):
        called = probabilities >= threshold
        return called[labels == 1].mean(), (~called)[labels == 0].mean()

    thresholds = np.unique(probabilities)
    assert found["sensitivity_90"] == max(t for t in thresholds if at(t)[0] >= 0.9)
    assert found["specificity_90"] == min(t for t in thresholds if at(t)[1] >= 0.9)
    assert sum(at(found["youden"])) == pytest.approx(max(sum(at(t)) for t in thresholds))


def test_nodules_at_the_threshold_are_called():
    called = calls(np.array([0.2, 0.5, 0.7]), {"youden": 0.5})
    assert called["called_youden"].tolist() == [0, 1, 1]


def test_a_model_that_knows_nothing_calls_all_or_none():
    found = choose_thresholds(np.array([0, 1, 0, 1]), np.full(4, 0.5))
    assert set(found) == set(POINTS)
    assert found["sensitivity_90"] == 0.5 and found["specificity_90"] > 0.5


def test_one_class_is_refused():
    with pytest.raises(InputError, match="3 nodules to choose a threshold on are of one class"):
        choose_thresholds(np.ones(3), np.arange(3) / 3)


def test_rates_are_those_of_the_confusion_matrix():
    labels, called = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0, 0, 0])
    found = rates(labels, called)
    assert found == {
        "sensitivity": pytest.approx(2 / 3),
        "specificity": pytest.approx(4 / 5),
        "ppv": pytest.approx(2 / 3),
        "npv": pytest.approx(4 / 5),
    }
    assert np.isnan(rates(labels, np.zeros(8))["ppv"])
