"""How good predictions of targets of one's own are, by the kind of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

LABEL = "_label"
"""End of the name of a column that holds a label."""


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
        per target: ``kind``, ``unit``, ``nodules`` and ``figures``.
    """
    return {target.name: _figures(predictions, target, seed, resamples) for target in own}


def _figures(predictions: pd.DataFrame, target: Target, seed: int, resamples: int) -> dict[str, Any]:
    known = predictions[predictions[f"{target.name}{LABEL}"].notna()]
    about = {"kind": target.kind, "unit": target.unit, "nodules": len(known)}
    if known.empty:
        return about | {"figures": {}}
    labels = known[f"{target.name}{LABEL}"].to_numpy(float)
    statistics = _STATISTICS[target.kind](known, target, labels)
    return about | {"figures": bootstrap_patients(statistics, known["patient_id"].to_numpy(), None, seed, resamples)}


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


_STATISTICS = {"binary": _binary, "multiclass": _multiclass, "ordinal": _number, "regression": _number}
