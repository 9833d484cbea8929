"""How good predictions of targets of one's own are, by the kind of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ctxai.data.targets import Target, TargetTable
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients, nested
from ctxai.evaluate.predictions.operating_points import called_points, point_rates
from ctxai.evaluate.predictions.scores import (
    area_under_curve,
    average_precision,
    brier_score,
    calibration_error,
    rank_correlation,
    share,
)
from ctxai.evaluate.predictions.subgroups import FEWEST_OF_A_CLASS, split_by_subgroup

LABEL = "_label"
"""End of the name of a column that holds a label."""

_Figures: TypeAlias = dict[str, Callable[[np.ndarray], float]]
"""From row numbers to its value, by the figure's name."""

_JUDGED_BY = {"binary": "auc", "multiclass": "accuracy", "ordinal": "mae", "regression": "mae"}
"""The figure that subgroups have, by kind."""


def label_columns(own: TargetTable, table: pd.DataFrame) -> pd.DataFrame:
    """Labels of a store's rows in columns ``<target>_label``, as numbers (`TargetTable.values`)."""
    return pd.DataFrame(own.values(table), columns=[f"{name}{LABEL}" for name in own.names])


def called_prefix(target: Target) -> str:
    """Beginning of the names of the columns of a binary target's calls."""
    return f"{target.name}_"


def evaluate_own(predictions: pd.DataFrame, own: TargetTable, seed: int, resamples: int) -> dict[str, Any]:
    """Figures of every target with 95 % bootstrap intervals over patients, on the nodules with a label of it.

    - binary: ``auc``, ``pr_auc``, ``brier`` and ``ece`` of the calibrated probability;
    - multiclass: ``macro_auc`` (mean over the classes of each against the others), ``accuracy`` of the most probable
      class, ``brier`` (sum over the classes; Brier 1950, "Verification of forecasts expressed in terms of
      probability"), ``ece`` (mean over the classes of each against the others; Kull et al. 2019, "Beyond temperature
      scaling"),
      ``coverage`` (share of nodules whose class is possible) and ``set_size`` (mean number of possible classes);
    - ordinal, regression: ``mae``, ``spearman``, ``coverage`` of the interval.

    A figure has None where there is no value, such as an AUC of one class.

    Returns:
        per target: ``kind``, ``unit``, ``nodules`` and ``figures``; ``subgroups``, per attribute and group ``nodules``
        and of the ``figures`` only ``auc`` (None below 5 nodules of either class), ``accuracy`` or ``mae``; and, where
        the table has calls of a binary target, ``operating_points``, as malignancy has them.
    """
    return {target.name: _figures(predictions, target, seed, resamples) for target in own}


def _figures(predictions: pd.DataFrame, target: Target, seed: int, resamples: int) -> dict[str, Any]:
    known = predictions[predictions[f"{target.name}{LABEL}"].notna()]
    about = {"kind": target.kind, "unit": target.unit, "nodules": len(known)}
    if known.empty:
        return about | {"figures": {}, "subgroups": {}}

    def bootstrap(nodules: pd.DataFrame, statistics: Callable[[np.ndarray], Mapping[str, float]]) -> dict[str, Any]:
        return bootstrap_patients(statistics, nodules["patient_id"].to_numpy(), None, seed, resamples)

    def figures(nodules: pd.DataFrame, *names: str) -> dict[str, Any]:
        found = _KINDS[target.kind](nodules, target, _labels(nodules, target))
        return bootstrap(nodules, lambda rows: {name: found[name](rows) for name in names or found})

    def judged(nodules: pd.DataFrame) -> dict[str, Any]:
        if target.kind == "binary" and _fewer_of_a_class(_labels(nodules, target)) < FEWEST_OF_A_CLASS:
            return {"auc": {"value": None, "low": None, "high": None}}
        return figures(nodules, _JUDGED_BY[target.kind])

    subgroups = {
        attribute: {name: {"nodules": len(nodules), "figures": judged(nodules)} for name, nodules in groups.items()}
        for attribute, groups in split_by_subgroup(known).items()
    }
    found = about | {"figures": figures(known), "subgroups": subgroups}
    if called := called_points(known, called_prefix(target)):
        labels = _labels(known, target)
        points = bootstrap(known, lambda rows: point_rates(labels[rows], {n: one[rows] for n, one in called.items()}))
        found |= nested(points)
    return found


def _labels(known: pd.DataFrame, target: Target) -> np.ndarray:
    return known[f"{target.name}{LABEL}"].to_numpy(float)


def _fewer_of_a_class(labels: np.ndarray) -> int:
    positive = int(labels.sum())
    return min(positive, len(labels) - positive)


def _binary(known: pd.DataFrame, target: Target, labels: np.ndarray) -> _Figures:
    logits, probabilities = (known[f"{target.name}_{kind}"].to_numpy(float) for kind in ("logit", "probability"))
    classes = labels.astype(int)
    return {
        "auc": lambda rows: area_under_curve(classes[rows], logits[rows]),
        "pr_auc": lambda rows: average_precision(classes[rows], logits[rows]),
        "brier": lambda rows: brier_score(classes[rows], probabilities[rows]),
        "ece": lambda rows: calibration_error(classes[rows], probabilities[rows]),
    }


def _multiclass(known: pd.DataFrame, target: Target, labels: np.ndarray) -> _Figures:
    probabilities, possible = (
        known[[f"{output}_{kind}" for output in target.outputs]].to_numpy(float) for kind in ("probability", "possible")
    )
    places = labels.astype(int)
    truth = np.eye(len(target.outputs))[places]
    hits, covered = probabilities.argmax(1) == places, possible[np.arange(len(places)), places] == 1

    def of_classes(figure: Callable[[np.ndarray, np.ndarray], float], rows: np.ndarray) -> list[float]:
        """Of each class against the others, those that have a value."""
        found = [figure(truth[rows, one].astype(int), probabilities[rows, one]) for one in range(truth.shape[1])]
        return [value for value in found if not np.isnan(value)]

    def macro_auc(rows: np.ndarray) -> float:
        areas = of_classes(area_under_curve, rows)
        return float(np.mean(areas)) if areas else float("nan")

    return {
        "macro_auc": macro_auc,
        "accuracy": lambda rows: share(hits[rows]),
        "brier": lambda rows: float(((probabilities[rows] - truth[rows]) ** 2).sum(1).mean()),
        "ece": lambda rows: float(np.mean(of_classes(calibration_error, rows))),
        "coverage": lambda rows: share(covered[rows]),
        "set_size": lambda rows: float(possible[rows].sum(1).mean()),
    }


def _number(known: pd.DataFrame, target: Target, labels: np.ndarray) -> _Figures:
    values, low, high = (known[f"{target.name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
    errors, covered = np.abs(values - labels), (low <= labels) & (labels <= high)
    return {
        "mae": lambda rows: float(errors[rows].mean()),
        "spearman": lambda rows: rank_correlation(labels[rows], values[rows]),
        "coverage": lambda rows: share(covered[rows]),
    }


_KINDS: dict[str, Callable[[pd.DataFrame, Target, np.ndarray], _Figures]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "ordinal": _number,
    "regression": _number,
}
