"""FROC of a detector against thresholds tried one by one, and against MONAI's curve."""

import sys
from pathlib import Path

import numpy as np
import pytest
from monai.metrics import compute_froc_curve_data

from ctxai.detection.candidates import Candidate

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from detect import RATES, figures, match, sensitivity


def by_thresholds(nodules, false, per_ct, cts):
    """The best sensitivity of all thresholds that leave at most so many false candidates."""
    best = 0.0
    for threshold in [*nodules, *false]:
        if sum(score >= threshold for score in false) <= per_ct * cts:
            best = max(best, sum(score >= threshold for score in nodules if score > -np.inf) / len(nodules))
    return best


@pytest.fixture(scope="module")
def scores():
    """Scores of nodules, a fifth of them missed, and of false candidates of 16 CTs, some of them equal."""
    rng = np.random.default_rng(0)
    nodules = np.round(rng.beta(4, 2, 40), 2)
    nodules[::5] = -np.inf
    return nodules, np.round(rng.beta(2, 4, 200), 2), 16


@pytest.mark.parametrize("rate", RATES)
def test_sensitivity_is_that_of_the_best_threshold(scores, rate):
    nodules, false, cts = scores
    assert sensitivity(nodules, false, rate, cts) == pytest.approx(by_thresholds(nodules, false, rate, cts))


def test_sensitivity_is_the_upper_end_of_the_curve_of_monai(scores):
    nodules, false, cts = scores
    rates, shares = compute_froc_curve_data(false, nodules[nodules > -np.inf], len(nodules), cts)
    for rate in rates:  # its points of one rate differ in sensitivity; the best can be had
        assert sensitivity(nodules, false, rate, cts) == pytest.approx(shares[rates <= rate].max())


def test_a_candidate_finds_a_nodule_within_its_radius_and_one_that_does_not_count_is_no_fault():
    centres = np.array([[0.0, 0, 0], [50, 0, 0], [0, 90, 0]])
    found = [
        Candidate(np.array([0, 0, 4.9]), 9.0, 0.9),
        Candidate(np.array([0, 0, 5.1]), 9.0, 0.8),  # beside it
        Candidate(np.array([51.0, 0, 0]), 9.0, 0.7),  # on one that does not count
        Candidate(np.array([1.0, 0, 0]), 9.0, 0.6),  # the first once more
    ]
    matched = match(found, centres, np.array([5.0, 5, 5]), np.array([True, False, True]))
    assert matched.nodules.tolist() == [0.9, -np.inf]
    assert matched.false.tolist() == [0.8]
    assert matched.ranks.tolist() == [1]
    values = figures([matched])
    assert values["found"] == values["cpm"] == 0.5
    assert values["false_per_ct"] == 1
    nothing = match([], centres, np.array([5.0, 5, 5]), np.array([True, False, True]))
    assert figures([nothing])["found"] == 0
    assert figures([nothing])["false_per_ct"] == 0
