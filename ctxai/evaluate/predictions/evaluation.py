"""How good a run's predictions are: discrimination, calibration, agreement with the readers, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ctxai.data.labels import TARGETS, column_of
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.data.targets import TargetTable
from ctxai.errors import InputError
from ctxai.evaluate.predictions.bootstrap import RESAMPLES, bootstrap_patients, nested
from ctxai.evaluate.predictions.inter_reader import ONE_POINT, beside_readers, rated_targets
from ctxai.evaluate.predictions.operating_points import called_points, point_rates
from ctxai.evaluate.predictions.own_targets import evaluate_own, label_columns
from ctxai.evaluate.predictions.scores import (
    area_under_curve,
    average_precision,
    brier_score,
    calibration_error,
    macro_mean,
    rank_correlation,
    share,
)
from ctxai.evaluate.predictions.subgroups import by_subgroup
from ctxai.progress import track
from ctxai.run.run import Run

SCORE = "_score"
"""End of the name of a column that holds a baseline's score, higher for malignant."""

CALIBRATIONS = {
    "none": "probability_none",
    "temperature": "probability_temperature",
    "platt": "malignancy_probability",
    "isotonic": "probability_isotonic",
}
"""Ways to calibrate, and the column of each one's probabilities; Platt's is the run's own."""

_KNOWN = ("nodule_id", "patient_id", "fold", "n_readers", "diameter_mm", "label_malignancy")
_KNOWN_OF_SOME = ("slice_thickness_mm", "manufacturer")
_DECIMALS = 6
_BLOCK = 64


def predict_rows(run: Run, store: NoduleStore, rows: np.ndarray) -> pd.DataFrame:
    """Predictions of some rows of a store beside the readers' ratings, one row per nodule.

    Columns: ``nodule_id, patient_id, fold, n_readers, diameter_mm, label_malignancy``; where the store has them,
    ``slice_thickness_mm, manufacturer``; those of `Run.predict`; ``<target>_readers``, the readers' mean in the same
    units; and, where the store has it, each reader's own rating in ``<target>_ratings``; of targets of one's own,
    ``<target>_label`` in place of these. Numbers are rounded, so that a written copy is exact.
    """
    patches = Patches(store, rows, memory_limit_bytes=0, beyond=run.views.beyond)
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    found = [run.predict_marked(patches[block]) for block in track(blocks, "Predicting")]
    predicted = pd.concat(found, ignore_index=True)
    table = store.table.iloc[rows].reset_index(drop=True)
    known = table[[*_KNOWN, *(name for name in _KNOWN_OF_SOME if name in table)]]
    if run.own is not None:
        return pd.concat([known, predicted, label_columns(run.own, table)], axis=1).round(_DECIMALS)
    readers = pd.DataFrame({f"{target}_readers": table[column_of(target)] for target in TARGETS})
    ratings = table[[f"{target}_ratings" for target in TARGETS if f"{target}_ratings" in table]]
    return pd.concat([known, predicted, readers, ratings], axis=1).round(_DECIMALS)


def evaluate_predictions(
    predictions: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES, own: TargetTable | None = None
) -> dict[str, Any]:
    """Every figure of an evaluation, from the table that `ctxai evaluate` writes alone.

    Each figure is its value with ``low`` and ``high``, the ends of a 95 % bootstrap interval over patients; None where
    there is no value.

    - ``malignancy``, on nodules whose median rating is not 3: ``auc`` and ``pr_auc`` of the logit, accuracy at a
      calibrated probability of 0.5, Brier score and expected calibration error (10 bins of equal width); ``<name>_auc``
      and the paired ``auc_minus_<name>`` of the diameter alone and of every column ``<name>_score``;
      ``operating_points``, for every column ``called_<name>``: sensitivity, specificity, positive and negative
      predictive value; ``calibration``: Brier score and calibration error by the columns of `CALIBRATIONS`.
    - ``targets``, on all nodules, against the readers' mean: ``mae``, ``macro_mae`` (its mean over the levels of the
      scale, since most nodules have the same few ratings), ``spearman``, ``within_one`` (share within one point),
      ``coverage`` (share of nodules whose interval holds that mean), ``interval_width`` (None where it is not finite),
      and ``readers`` (`beside_readers`).
    - ``subgroups``: see `by_subgroup`.
    - ``own_targets``: of targets of one's own, `evaluate_own`; in place of all others.

    Raises:
        InputError: when the nodules are of one class.
    """
    if own is not None:
        return _rounded({"targets": {}, "own_targets": evaluate_own(predictions, own, seed, resamples)})
    result: dict[str, Any] = {}
    if "malignancy_logit" in predictions:
        result["malignancy"] = _malignancy(predictions, seed, resamples)
    result["targets"] = {name: _agreement(predictions, name, seed, resamples) for name in rated_targets(predictions)}
    if "malignancy_logit" in predictions:
        result["subgroups"] = by_subgroup(predictions, seed, resamples)
    return _rounded(result)


def baseline_columns(predictions: pd.DataFrame) -> dict[str, str]:
    """Name of every baseline in a table, and the column of its scores; the diameter comes first."""
    scores = {name.removesuffix(SCORE): name for name in map(str, predictions) if name.endswith(SCORE)}
    return {"diameter": "diameter_mm"} | scores


def _malignancy(predictions: pd.DataFrame, seed: int, resamples: int) -> dict[str, Any]:
    decided = predictions[predictions["label_malignancy"].notna()]
    labels = decided["label_malignancy"].to_numpy(int)
    if len(set(labels)) < 2:
        raise InputError(f"{len(labels)} labelled nodules to test on are of one class; both are needed for an AUC")
    patients = decided["patient_id"].to_numpy()
    logit = decided["malignancy_logit"].to_numpy(float)
    others = {name: decided[column].to_numpy(float) for name, column in baseline_columns(decided).items()}
    probabilities = {
        name: decided[column].to_numpy(float) for name, column in CALIBRATIONS.items() if column in decided
    }
    called = called_points(decided)

    def statistics(rows: np.ndarray) -> dict[str, float]:
        label, probability = labels[rows], probabilities["platt"][rows]
        found = {"auc": area_under_curve(label, logit[rows]), "pr_auc": average_precision(label, logit[rows])}
        found["accuracy"] = share((probability > 0.5) == label)
        for name, values in others.items():
            found[f"{name}_auc"] = area_under_curve(label, values[rows])
            found[f"auc_minus_{name}"] = found["auc"] - found[f"{name}_auc"]
        found |= point_rates(label, {name: calls[rows] for name, calls in called.items()})
        for name, values in probabilities.items():
            found[f"calibration.{name}.brier"] = brier_score(label, values[rows])
            found[f"calibration.{name}.ece"] = calibration_error(label, values[rows])
        return found

    counts = {"nodules": len(labels), "malignant": int(labels.sum()), "patients": len(set(patients))}
    figures = nested(bootstrap_patients(statistics, patients, labels, seed, resamples))
    return counts | figures | figures["calibration"]["platt"]


def _agreement(predictions: pd.DataFrame, target: str, seed: int, resamples: int) -> dict[str, Any]:
    known = predictions[predictions[f"{target}_readers"].notna()]
    if known.empty:
        none = {"value": None, "low": None, "high": None}
        return {"nodules": 0} | dict.fromkeys(("mae", "spearman", "coverage"), none) | {"interval_width": None}
    readers, predicted = known[f"{target}_readers"].to_numpy(float), known[target].to_numpy(float)
    low, high = known[f"{target}_low"].to_numpy(float), known[f"{target}_high"].to_numpy(float)
    errors, covered = np.abs(predicted - readers), (low <= readers) & (readers <= high)

    def statistics(rows: np.ndarray) -> dict[str, float]:
        found = {"mae": float(errors[rows].mean()), "spearman": rank_correlation(readers[rows], predicted[rows])}
        if target != "diameter":
            found["macro_mae"] = macro_mean(errors[rows], readers[rows])
            found["within_one"] = share(errors[rows] <= ONE_POINT)
        return found | {"coverage": share(covered[rows])}

    width = high - low
    figures = bootstrap_patients(statistics, known["patient_id"].to_numpy(), None, seed, resamples)
    beside = beside_readers(known, target, seed, resamples)
    return {
        "nodules": len(known),
        **figures,
        "interval_width": float(width.mean()) if np.isfinite(width).all() else None,
        **({} if beside is None else {"readers": beside}),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, _DECIMALS) if isinstance(value, float) else value
