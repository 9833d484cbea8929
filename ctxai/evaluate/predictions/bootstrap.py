"""Intervals by drawing patients with replacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

RESAMPLES = 1000
_MOST_TRIES = 20  # per wanted draw, where draws of one class are drawn again


def bootstrap_patients(
    statistics: Callable[[np.ndarray], Mapping[str, float]],
    patients: np.ndarray,
    labels: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, float | None]]:
    """Values of statistics with 95 % percentile intervals over resampled patients.

    Whole patients are drawn with replacement, since nodules of one patient resemble each other. Statistics that are
    returned together see the same draws, so that differences are paired.

    Args:
        statistics: from row numbers (with repeats) to named values; NaN where one has no value.
        patients: patient of every row.
        labels: class of every row; draws of one class are then drawn again.
        seed: of the draws.
        resamples: number of draws.

    Returns:
        per name: value, low, high; None where there is no value.
    """
    generator = np.random.default_rng(seed)
    _, group = np.unique(patients, return_inverse=True)
    groups = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    values = statistics(np.arange(len(patients)))
    draws: list[Mapping[str, float]] = []
    for _ in range(resamples * _MOST_TRIES):
        if len(draws) == resamples:
            break
        rows = np.concatenate([groups[i] for i in generator.integers(len(groups), size=len(groups))])
        if labels is None or len(set(labels[rows])) > 1:
            draws.append(statistics(rows))
    return {name: _interval(float(value), [draw[name] for draw in draws]) for name, value in values.items()}


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        place = result
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return result


def _interval(value: float, draws: list[float]) -> dict[str, Any]:
    known = np.array(draws, float)
    known = known[~np.isnan(known)]
    if np.isnan(value) or not len(known):
        return {"value": None if np.isnan(value) else value, "low": None, "high": None}
    low, high = np.percentile(known, [2.5, 97.5])
    return {"value": value, "low": float(low), "high": float(high)}
