"""External validation: a run on a collection that it has learnt nothing from, with nothing fitted there."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from ctxai.data.labels import usable
from ctxai.data.store import TABLE, NoduleStore
from ctxai.data.targets import Target
from ctxai.errors import InputError
from ctxai.evaluate.predictions.decisions import add_calls, decisions
from ctxai.evaluate.predictions.evaluation import evaluate_predictions, predict_rows
from ctxai.evaluate.predictions.own_targets import LABEL
from ctxai.files import sha256
from ctxai.run.calibration import platt_scaling
from ctxai.run.run import Run

logger = logging.getLogger(__name__)

_CERTAIN = 1e-6


def is_own_store(run: Run, store: NoduleStore) -> bool:
    """Whether a store is the one that the run was trained on, by the checksum of its table."""
    return run.provenance["store"]["table_sha256"] == sha256(store.path / TABLE)


def refuse_other_store(run: Run, store: NoduleStore, test_rows: np.ndarray) -> None:
    """Refuse a store that is not the run's, whose figures would be written as the run's own.

    A table that was only added to, with the very patients and nodules of the run's test fold, counts as the run's.

    Raises:
        InputError: naming the way out.
    """
    table = store.table.iloc[test_rows]
    same = all(
        set(table[column].astype(str)) == set(run.provenance[kind]["test"])
        for column, kind in (("patient_id", "patients"), ("nodule_id", "nodules"))
    )
    if not (same or is_own_store(run, store)):
        raise InputError(
            f"{store.path}: not the store that the run was trained on (its {TABLE} has another checksum); give that "
            "one, or --external NAME to validate the run on this one"
        )


def refuse_seen_patients(run: Run, store: NoduleStore, test_rows: np.ndarray) -> None:
    """Refuse a test fold with patients that the run was trained or calibrated on.

    Folds by nodule have the same patients on both sides by design; a warning says so.

    Raises:
        InputError: naming how many patients, and the first.
    """
    if run.config.folds.unit == "nodule":
        logger.warning("folds by nodule: patients lie on both sides of the split, and every figure is too good")
        return
    patients = store.table["patient_id"].iloc[test_rows].astype(str)
    if seen := sorted({patient for patient in patients if run.in_sample(patient)}):
        raise InputError(
            f"{store.path}: {len(seen)} patients of its test fold were trained or calibrated on (first {seen[0]}); "
            "give the store that the run was trained on"
        )


def external_rows(run: Run, store: NoduleStore) -> np.ndarray:
    """Every usable row of a store that the run has learnt nothing from.

    Raises:
        InputError: when it is the run's own store, or holds patients that the run has learnt from.
        StoreError: when the store has no labels.
    """
    if is_own_store(run, store):
        raise InputError(f"{store.path}: the store that the run was trained on; leave --external out")
    table = store.table
    rows = np.flatnonzero(usable(table, run.own))
    seen = sorted({str(patient) for patient in table["patient_id"].iloc[rows] if run.in_sample(str(patient))})
    if seen:
        raise InputError(
            f"{store.path}: the run has learnt from {len(seen)} of its patients (first {seen[0]}); remove their rows"
        )
    return rows


def evaluate_external(
    run: Run, store: NoduleStore, rows: np.ndarray, seed: int = 0
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Figures as `evaluate_predictions` gives them, and the predictions that they follow from.

    Probabilities, intervals and thresholds are the run's. ``calibration_drift`` tells how far its probabilities are
    off here (see `calibration_drift`).

    Args:
        run: the run.
        store: the other collection.
        rows: of :func:`external_rows`.
        seed: of the bootstrap.
    """
    predictions = predict_rows(run, store, rows)
    add_calls(predictions, run.metrics.get("validation", {}), decisions(predictions, run.own))
    metrics = evaluate_predictions(predictions, seed, own=run.own)
    for target in run.own or ():
        if drift := _own_drift(predictions, target):
            metrics["own_targets"][target.name]["calibration_drift"] = drift
    if "malignancy" in metrics:
        known = predictions[predictions["label_malignancy"].notna()]
        drift = calibration_drift(
            known["malignancy_probability"].to_numpy(float), known["label_malignancy"].to_numpy(float)
        )
        metrics["malignancy"]["calibration_drift"] = _rounded(drift)
    return metrics | {"store": {"table_sha256": sha256(store.path / TABLE), "nodules": len(rows)}}, predictions


def _own_drift(predictions: pd.DataFrame, target: Target) -> dict[str, Any]:
    """Drift of a binary target's probability; of a multiclass one, for each class against the others that is there."""
    known = predictions[predictions[f"{target.name}{LABEL}"].notna()]
    labels = known[f"{target.name}{LABEL}"].to_numpy(float)
    if target.kind == "binary" and len(labels):
        return _rounded(calibration_drift(known[f"{target.name}_probability"].to_numpy(float), labels))
    if target.kind != "multiclass":
        return {}
    drifts = {}
    for place, (output, label) in enumerate(zip(target.outputs, target.classes, strict=True)):
        is_class = (labels == place).astype(float)
        if 0 < is_class.sum() < len(labels):
            drifts[label] = _rounded(calibration_drift(known[f"{output}_probability"].to_numpy(float), is_class))
    return drifts


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in figures.items()}


def calibration_drift(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How far probabilities are off: mean and prevalence, and the logistic recalibration that would mend them.

    A slope below 1 means that they are too extreme, an intercept above 0 that they are too low (Van Calster et al.
    2019, "Calibration: the Achilles heel of predictive analytics"). The two are a diagnosis: nothing is corrected.

    Args:
        probabilities: (nodule,).
        labels: 1 malignant, 0 benign (nodule,).
    """
    scores = logit(np.clip(probabilities, _CERTAIN, 1 - _CERTAIN))
    slope, intercept = platt_scaling(scores, labels)
    return {
        "mean_probability": float(probabilities.mean()),
        "prevalence": float(labels.mean()),
        "slope": slope,
        "intercept": intercept,
    }
