"""Single numbers about predictions, quick enough for thousands of bootstrap draws; NaN where there is no value."""

from __future__ import annotations

import numpy as np

CALIBRATION_BINS = 10


def area_under_curve(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve by mid-ranks (Mann-Whitney)."""
    positive = labels == 1
    count = int(positive.sum())
    if not 0 < count < len(labels):
        return float("nan")
    above = _mid_ranks(scores)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(labels) - count)))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve as the mean precision at each malignant nodule; ties are taken together."""
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(labels[order])[last_of_tie]
    called = np.flatnonzero(last_of_tie) + 1
    return float((np.diff(hits, prepend=0) * hits / called).sum() / hits[-1])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    a, b = _mid_ranks(first), _mid_ranks(second)
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error: mean |observed share - mean probability| over ten equal bins, weighted by size."""
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=labels - probabilities)).sum() / len(labels))


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared difference of probability and class."""
    return float(((probabilities - labels) ** 2).mean())


def share(hits: np.ndarray) -> float:
    """Mean of true and false; NaN of none."""
    return float(hits.mean()) if len(hits) else float("nan")


def macro_mean(values: np.ndarray, ratings: np.ndarray) -> float:
    """Mean over the levels of a scale (ratings rounded to whole points, halves up) of each level's mean."""
    levels = np.floor(ratings + 0.5).astype(int)
    counts = np.bincount(levels)
    found = counts > 0
    return float((np.bincount(levels, weights=values)[found] / counts[found]).mean())


def _mid_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, the mean rank for ties (SciPy's general function spends most of its time elsewhere)."""
    order = np.argsort(values, kind="stable")
    rising = values[order]
    starts = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks
