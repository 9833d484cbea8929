"""How good a run's predictions are: discrimination, calibration, agreement with the readers, coverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchmetrics.functional.classification import binary_calibration_error

from ctxai.data.labels import TARGETS, column_of
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError
from ctxai.models.run import Run
from ctxai.progress import track

RESAMPLES = 1000
CALIBRATION_BINS = 10
_DECIMALS = 6
_BLOCK = 64
_FEATURES_SCORE = "features_score"


def predict_rows(run: Run, store: NoduleStore, rows: np.ndarray) -> pd.DataFrame:
    """Predictions of some rows of a store beside what the readers said, one row per nodule.

    Columns: ``nodule_id, patient_id, fold, n_readers, diameter_mm, label_malignancy``; those of `Run.predict`; and
    ``<target>_readers``, the readers' mean in the same units. Numbers are rounded, so that a written copy is exact.
    """
    patches = Patches(store, rows, memory_limit_bytes=0)
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    predicted = pd.concat([run.predict(patches[block]) for block in track(blocks, "Predicting")], ignore_index=True)
    table = store.table.iloc[rows].reset_index(drop=True)
    known = table[["nodule_id", "patient_id", "fold", "n_readers", "diameter_mm", "label_malignancy"]]
    readers = pd.DataFrame({f"{target}_readers": table[column_of(target)] for target in TARGETS})
    return pd.concat([known, predicted, readers], axis=1).round(_DECIMALS)


def judge(predictions: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Every figure of an evaluation, from the table of :func:`predict_rows` alone.

    ``malignancy``: on nodules whose median rating is not 3: AUC of the logit, AUC of the diameter alone and their
    paired difference, each with a 95 % bootstrap interval over patients; accuracy at a calibrated probability of 0.5,
    Brier score and expected calibration error (10 bins of equal width). When a column ``features_score`` is there,
    the same for it. ``targets``: per target, on all nodules, mean absolute error and Spearman correlation with the
    readers' mean, the share of nodules whose interval covers that mean, and the intervals' mean width (None where
    it is not finite).

    Raises:
        InputError: when the nodules are of one class.
    """
    decided = predictions[predictions["label_malignancy"].notna()]
    labels = decided["label_malignancy"].to_numpy(int)
    if len(set(labels)) < 2:
        raise InputError(f"{len(labels)} labelled nodules to test on are of one class; both are needed for an AUC")
    patients = decided["patient_id"].to_numpy()
    scores = {"auc": decided["malignancy_logit"], "diameter_auc": decided["diameter_mm"]}
    if _FEATURES_SCORE in decided:
        scores["features_auc"] = decided[_FEATURES_SCORE]
    values = {name: column.to_numpy(float) for name, column in scores.items()}

    def aucs(rows: np.ndarray) -> dict[str, float]:
        found = {name: area_under_curve(labels[rows], value[rows]) for name, value in values.items()}
        return found | {f"auc_minus_{name[:-4]}": found["auc"] - found[name] for name in values if name != "auc"}

    probability = decided["malignancy_probability"].to_numpy(float)
    malignancy = {
        "nodules": len(labels),
        "malignant": int(labels.sum()),
        "patients": len(set(patients)),
        "accuracy": float(((probability > 0.5) == labels).mean()),
        "brier": float(brier_score_loss(labels, probability)),
        "ece": calibration_error(labels, probability),
        **bootstrap_patients(aucs, patients, labels, seed, resamples),
    }
    return _rounded({"malignancy": malignancy, "targets": {name: _agreement(predictions, name) for name in TARGETS}})


def bootstrap_patients(
    statistics: Callable[[np.ndarray], Mapping[str, float]],
    patients: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, float]]:
    """Values of statistics with 95 % percentile intervals over resampled patients.

    Whole patients are drawn with replacement, since nodules of one patient resemble each other. Statistics that are
    returned together see the same draws, so that differences are paired. Draws of one class are drawn again.

    Args:
        statistics: from row numbers (with repeats) to named values.
        patients: patient of every row.
        labels: class of every row.
        seed: of the draws.
        resamples: number of draws.

    Returns:
        per name: value, low, high.
    """
    generator = np.random.default_rng(seed)
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    values = statistics(np.arange(len(patients)))
    draws: list[Mapping[str, float]] = []
    while len(draws) < resamples:
        rows = np.concatenate([groups[i] for i in generator.integers(len(groups), size=len(groups))])
        if len(set(labels[rows])) > 1:
            draws.append(statistics(rows))
    result = {}
    for name, value in values.items():
        low, high = np.percentile([draw[name] for draw in draws], [2.5, 97.5])
        result[name] = {"value": float(value), "low": float(low), "high": float(high)}
    return result


def area_under_curve(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve by mid-ranks (Mann-Whitney), quick enough for thousands of bootstrap draws."""
    positive = labels == 1
    count = int(positive.sum())
    above = rankdata(scores)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(labels) - count)))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error: mean |observed share - mean probability| over ten equal bins, weighted by size."""
    return float(
        binary_calibration_error(
            torch.tensor(probabilities, dtype=torch.float64),
            torch.tensor(labels, dtype=torch.int64),
            n_bins=CALIBRATION_BINS,
            norm="l1",
        )
    )


def features_scores(
    features: pd.DataFrame, table: pd.DataFrame, training: np.ndarray, chosen: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Log-odds of a logistic regression on hand-made features: the baseline that a model of pixels has to beat.

    It learns from the labelled training rows; the strength of its penalty comes from patient-level cross-validation
    inside of them.

    Args:
        features: one row per nodule, a column ``nodule_id`` and numbers.
        table: the store's table.
        training: rows to learn from.
        chosen: rows to score.
        seed: of the inner folds.

    Raises:
        InputError: when the features lack a nodule.
    """
    indexed = features.assign(nodule_id=features["nodule_id"].astype(str)).set_index("nodule_id")
    missing = set(table["nodule_id"].iloc[np.concatenate([training, chosen])].astype(str)) - set(indexed.index)
    if missing:
        raise InputError(f"features: {len(missing)} nodules of the store are missing, first {min(missing)}")
    labels = table["label_malignancy"].to_numpy(float)
    training = training[~np.isnan(labels[training])]
    values = {
        name: indexed.loc[table["nodule_id"].iloc[rows].astype(str)].to_numpy(float)
        for name, rows in (("training", training), ("chosen", chosen))
    }
    patients = table["patient_id"].to_numpy()[training]
    inner = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(training, labels[training], patients)
    regression = LogisticRegressionCV(
        Cs=10, cv=list(inner), scoring="roc_auc", max_iter=5000, l1_ratios=(0.0,), use_legacy_attributes=False
    )
    model = make_pipeline(StandardScaler(), regression)
    model.fit(values["training"], labels[training].astype(int))
    return model.decision_function(values["chosen"])


def _agreement(predictions: pd.DataFrame, target: str) -> dict[str, Any]:
    known = predictions[predictions[f"{target}_readers"].notna()]
    readers, predicted = known[f"{target}_readers"].to_numpy(float), known[target].to_numpy(float)
    low, high = known[f"{target}_low"].to_numpy(float), known[f"{target}_high"].to_numpy(float)
    varied = len(known) > 2 and np.ptp(readers) > 0 and np.ptp(predicted) > 0
    width = high - low
    return {
        "nodules": len(known),
        "mae": float(np.abs(predicted - readers).mean()) if len(known) else None,
        "spearman": float(spearmanr(readers, predicted).statistic) if varied else None,
        "coverage": float(((low <= readers) & (readers <= high)).mean()) if len(known) else None,
        "interval_width": float(width.mean()) if len(known) and np.isfinite(width).all() else None,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, _DECIMALS) if isinstance(value, float) else value
