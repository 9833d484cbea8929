"""Disagreement among readers: each one against the others, and the run against the same others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ctxai.data.labels import SCALES, TARGETS
from ctxai.evaluate.predictions.bootstrap import RESAMPLES, bootstrap_patients
from ctxai.evaluate.predictions.scores import area_under_curve, rank_correlation

ONE_POINT = 1.0


def left_out_readings(predictions: pd.DataFrame, target: str) -> pd.DataFrame:
    """One row per reading of a nodule with two readers or more.

    Columns: ``patient_id``; ``reader``, the rating that is left out; ``others``, the mean of the other readers;
    ``label``, 1 where the others' median is above 3, 0 below, NaN at 3; ``predicted``, the run's value.

    Args:
        predictions: with columns ``<target>_ratings`` such as ``5|4|4`` and ``<target>``. Ratings off the scale are
            left out.
        target: one of `TARGETS`.
    """
    low, high = SCALES[target]
    rows = []
    for patient, text, predicted in zip(
        predictions["patient_id"], predictions[f"{target}_ratings"], predictions[target], strict=True
    ):
        given = [] if pd.isna(text) else [float(part) for part in str(text).split("|") if part]
        ratings = np.array([rating for rating in given if low <= rating <= high])
        for place in range(len(ratings) if len(ratings) > 1 else 0):
            others = np.delete(ratings, place)
            above = np.median(others) - 3
            label = np.nan if above == 0 else float(above > 0)
            rows.append((patient, ratings[place], others.mean(), label, predicted))
    return pd.DataFrame(rows, columns=["patient_id", "reader", "others", "label", "predicted"])


def beside_readers(
    predictions: pd.DataFrame, target: str, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Any] | None:
    """How far one reader is from the others, and the run from the same others, with 95 % intervals over patients.

    ``readings``; for ``reader`` and ``run``, and as ``difference`` (run minus reader, paired): ``mae``, ``spearman``
    and, for ratings, ``within_one`` (share at most one point away); for malignancy also ``auc``, where the others'
    median rating gives the class. A rating is a whole number and a prediction is not; that is part of the difference.

    Returns:
        None where no nodule has two readers.
    """
    if f"{target}_ratings" not in predictions or target not in predictions:
        return None
    table = left_out_readings(predictions, target)
    if table.empty:
        return None
    others, label = table["others"].to_numpy(), table["label"].to_numpy()
    estimates = {"reader": table["reader"].to_numpy(), "run": table["predicted"].to_numpy(float)}

    def statistics(rows: np.ndarray) -> dict[str, float]:
        found: dict[str, float] = {}
        for who, values in estimates.items():
            errors = np.abs(values[rows] - others[rows])
            found[f"{who}.mae"] = float(errors.mean())
            found[f"{who}.spearman"] = rank_correlation(values[rows], others[rows])
            if target != "diameter":
                found[f"{who}.within_one"] = float((errors <= ONE_POINT).mean())
            if target == "malignancy":
                known = rows[~np.isnan(label[rows])]
                found[f"{who}.auc"] = area_under_curve(label[known], values[known])
        names = [name.removeprefix("run.") for name in found if name.startswith("run.")]
        return found | {f"difference.{name}": found[f"run.{name}"] - found[f"reader.{name}"] for name in names}

    flat = bootstrap_patients(statistics, table["patient_id"].to_numpy(), seed=seed, resamples=resamples)
    result: dict[str, Any] = {"readings": len(table)}
    for name, interval in flat.items():
        who, what = name.split(".")
        result.setdefault(who, {})[what] = interval
    return result


def rated_targets(predictions: pd.DataFrame) -> list[str]:
    """Targets that were predicted, in the order of `TARGETS`."""
    return [target for target in TARGETS if target in predictions]
