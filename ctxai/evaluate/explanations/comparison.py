"""Methods compared on the same nodules: means with intervals, paired tests, and what chance would give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from ctxai.evaluate.explanations.metric import Metric, get_metric
from ctxai.evaluate.predictions.bootstrap import RESAMPLES

REFERENCE = "cdam"
CHANCE = "random_map"
RANDOMISED = "cdam_randomised"
"""CDAM of the model with shuffled weights, evaluated by the real model."""
CONTROLS = (CHANCE, RANDOMISED)

KEYS = ["target", "metric", "place"]


def compare(scores: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """One row per target, metric, place and method.

    Columns beside these: ``n`` nodules and ``patients`` with a score; ``value`` (mean over nodules) with ``low`` and
    ``high``; the same for ``minus_cdam`` and ``minus_random``, on the nodules where both have a score; ``p`` of
    Wilcoxon's signed-rank test on the patients' mean differences to CDAM, and ``p_holm``, corrected for all tests of
    the table by Holm's method. Intervals are 95 % percentile intervals of a bootstrap over patients; all methods of a
    row group see the same draws.

    Args:
        scores: rows as :mod:`ctxai.evaluate.explanations.scoring` gives them, with a column ``method``.
        seed: of the draws.
        resamples: number of draws.
    """
    rows = []
    for keys, group in scores.groupby(KEYS, sort=False):
        values = group.pivot(index="nodule_id", columns="method", values="score")
        patients = group.drop_duplicates("nodule_id").set_index("nodule_id")["patient_id"].loc[values.index]
        draws = patient_draws(patients.to_numpy(), seed, resamples)
        for method in values:
            own = values[method].to_numpy(float)
            if np.isnan(own).all():
                continue
            row = dict(zip(KEYS, keys, strict=True)) | {"method": method, "n": int((~np.isnan(own)).sum())}
            row["patients"] = int(patients[~np.isnan(own)].nunique())
            row |= _interval("", own, draws)
            for name, other in (("minus_cdam", REFERENCE), ("minus_random", CHANCE)):
                if other in values and other != method:
                    row |= _interval(name, own - values[other].to_numpy(float), draws)
            if REFERENCE in values and method not in (REFERENCE, *CONTROLS):
                row["p"] = paired_test(own - values[REFERENCE].to_numpy(float), patients.to_numpy())
            rows.append(row)
    table = pd.DataFrame(rows)
    for column in ("minus_cdam", "minus_random"):
        for end in ("", "_low", "_high"):
            table[column + end] = table.get(column + end, np.nan)
    table["p"] = table.get("p", np.nan)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    return table


def patient_draws(patients: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """How often each row is in each bootstrap draw of whole patients, (draw, row).

    Counts instead of row numbers: the means of all draws are then one matrix product.
    """
    generator = np.random.default_rng(seed)
    names, place = np.unique(patients, return_inverse=True)
    chosen = generator.integers(len(names), size=(resamples, len(names)))
    counts = np.zeros((resamples, len(names)))
    np.add.at(counts, (np.arange(resamples)[:, None], chosen), 1)
    return counts[:, place]


def bootstrap_means(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The mean of the values that are defined, for every draw; draws without any are left out."""
    known = ~np.isnan(values)
    count = draws @ known
    return (draws @ np.where(known, values, 0))[count > 0] / count[count > 0]


def paired_test(differences: np.ndarray, patients: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test on the patients' means; 1 where nothing differs, NaN without pairs."""
    means = pd.Series(differences).groupby(patients).mean().dropna().to_numpy()
    if not len(means):
        return float("nan")
    return 1.0 if not means.any() else float(wilcoxon(means).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction; NaN stays and does not count as a test."""
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(np.where(np.isnan(p_values), np.inf, p_values), kind="stable")
    count, largest = int((~np.isnan(p_values)).sum()), 0.0
    for rank, place in enumerate(order[:count]):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def blind_metrics(table: pd.DataFrame) -> pd.DataFrame:
    """For every target, metric and place: which methods beat a random map, with an interval that excludes 0.

    Columns: ``beats_chance``, how many of ``methods``; ``blind``, where it is none. Only metrics with a direction.
    """
    rows = []
    for keys, group in table[~table["method"].isin(CONTROLS)].groupby(KEYS, sort=False):
        direction = direction_of(str(group["metric"].iloc[0]))
        if direction is None:
            continue
        ahead = group["minus_random_low"] > 0 if direction else group["minus_random_high"] < 0
        row = dict(zip(KEYS, keys, strict=True)) | {"methods": len(group), "beats_chance": int(ahead.sum())}
        rows.append(row | {"blind": not ahead.any()})
    return pd.DataFrame(rows, columns=[*KEYS, "methods", "beats_chance", "blind"])


def controls(table: pd.DataFrame) -> pd.DataFrame:
    """The controls' rows of metrics that chance makes 0: ``at_chance``, whether their interval holds 0."""
    known = table["metric"].map(lambda label: metric_of(label).zero_by_chance)
    rows = table[known & table["method"].isin(CONTROLS)].copy()
    rows["at_chance"] = (rows["low"] <= 0) & (rows["high"] >= 0)
    return rows[[*KEYS, "method", "n", "value", "low", "high", "at_chance"]]


def direction_of(label: str) -> bool | None:
    """Whether higher is better by a metric's label; None for a figure that only describes."""
    return metric_of(label).higher_is_better


def metric_of(label: str) -> type[Metric]:
    """Class of the metric that a result's label names."""
    return get_metric(label.split("[")[0])


def order_methods(methods: Sequence[str]) -> list[str]:
    """CDAM and its family first, controls last, the others by name."""
    first = [name for name in methods if "cdam" in name and name not in CONTROLS]
    last = [name for name in CONTROLS if name in methods]
    others = sorted(set(methods) - set(first) - set(last))
    return [*sorted(first, key=lambda name: (name != REFERENCE, name)), *others, *last]


def _interval(name: str, values: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    if np.isnan(values).all():
        return {}
    low, high = np.percentile(bootstrap_means(values, draws), [2.5, 97.5])
    names = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    return dict(zip(names, (float(np.nanmean(values)), float(low), float(high)), strict=True))
