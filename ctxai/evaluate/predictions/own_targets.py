"""How good predictions of targets of one's own are, by the kind of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ctxai.data.targets import Target, TargetTable
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
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

_Statistics: TypeAlias = Callable[[pd.DataFrame, Target, np.ndarray], Callable[[np.ndarray], dict[str, float]]]


def label_columns(own: TargetTable, table: pd.DataFrame) -> pd.DataFrame:
    """Labels of a store's rows in columns ``<target>_label``, as numbers (`TargetTable.values`)."""
    return pd.DataFrame(own.values(table), columns=[f"{name}{LABEL}" for name in own.names])


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
        per target: ``kind``, ``unit``, ``nodules`` and ``figures``; and ``subgroups``, per attribute and group
        ``nodules`` and the ``figures`` that the kind is judged by first: ``auc`` (None below 5 nodules of
        either class), ``accuracy`` or ``mae``.
    """
    return {target.name: _figures(predictions, target, seed, resamples) for target in own}


def _figures(predictions: pd.DataFrame, target: Target, seed: int, resamples: int) -> dict[str, Any]:
    known = predictions[predictions[f"{target.name}{LABEL}"].notna()]
    about = {"kind": target.kind, "unit": target.unit, "nodules": len(known)}
    if known.empty:
        return about | {"figures": {}, "subgroups": {}}

    def figures(nodules: pd.DataFrame, statistics: _Statistics) -> dict[str, Any]:
        found = statistics(nodules, target, nodules[f"{target.name}{LABEL}"].to_numpy(float))
        return bootstrap_patients(found, nodules["patient_id"].to_numpy(), None, seed, resamples)

    subgroups = {
        attribute: {
            name: {"nodules": len(nodules), "figures": figures(nodules, _first)} for name, nodules in groups.items()
        }
        for attribute, groups in split_by_subgroup(known).items()
    }
    return about | {"figures": figures(known, _STATISTICS[target.kind]), "subgroups": subgroups}


def _first(known: pd.DataFrame, target: Target, labels: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    if target.kind == "binary":
        classes, logits = labels.astype(int), known[f"{target.name}_logit"].to_numpy(float)
        if min(classes.sum(), len(classes) - classes.sum()) < FEWEST_OF_A_CLASS:
            return lambda rows: {"auc": float("nan")}
        return lambda rows: {"auc": area_under_curve(classes[rows], logits[rows])}
    if target.kind == "multiclass":
        probabilities = known[[f"{output}_probability" for output in target.outputs]].to_numpy(float)
        hits = probabilities.argmax(1) == labels.astype(int)
        return lambda rows: {"accuracy": share(hits[rows])}
    errors = np.abs(known[target.name].to_numpy(float) - labels)
    return lambda rows: {"mae": float(errors[rows].mean())}


def _binary(known: pd.DataFrame, target: Target, labels: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    logits, probabilities = (known[f"{target.name}_{kind}"].to_numpy(float) for kind in ("logit", "probability"))
    classes = labels.astype(int)

    def statistics(rows: np.ndarray) -> dict[str, float]:
        return {
            "auc": area_under_curve(classes[rows], logits[rows]),
            "pr_auc": average_precision(classes[rows], logits[rows]),
            "brier": brier_score(classes[rows], probabilities[rows]),
            "ece": calibration_error(classes[rows], probabilities[rows]),
        }

    return statistics


def _multiclass(known: pd.DataFrame, target: Target, labels: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    probabilities, possible = (
        known[[f"{output}_{kind}" for output in target.outputs]].to_numpy(float) for kind in ("probability", "possible")
    )
    places = labels.astype(int)
    truth = np.eye(len(target.outputs))[places]
    hits, covered = probabilities.argmax(1) == places, possible[np.arange(len(places)), places] == 1

    def statistics(rows: np.ndarray) -> dict[str, float]:
        areas = [
            area_under_curve((places[rows] == one).astype(int), probabilities[rows, one])
            for one in range(len(target.outputs))
        ]
        errors = [
            calibration_error((places[rows] == one).astype(int), probabilities[rows, one])
            for one in range(len(target.outputs))
        ]
        known_areas = [area for area in areas if not np.isnan(area)]
        return {
            "macro_auc": float(np.mean(known_areas)) if known_areas else float("nan"),
            "accuracy": share(hits[rows]),
            "brier": float(((probabilities[rows] - truth[rows]) ** 2).sum(1).mean()),
            "ece": float(np.mean(errors)),
            "coverage": share(covered[rows]),
            "set_size": float(possible[rows].sum(1).mean()),
        }

    return statistics


def _number(known: pd.DataFrame, target: Target, labels: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    values, low, high = (known[f"{target.name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
    errors, covered = np.abs(values - labels), (low <= labels) & (labels <= high)

    def statistics(rows: np.ndarray) -> dict[str, float]:
        return {
            "mae": float(errors[rows].mean()),
            "spearman": rank_correlation(labels[rows], values[rows]),
            "coverage": share(covered[rows]),
        }

    return statistics


_STATISTICS: dict[str, _Statistics] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "ordinal": _number,
    "regression": _number,
}
