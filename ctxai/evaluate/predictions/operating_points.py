"""Thresholds chosen on one set of nodules, and how often they are right on another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from ctxai.errors import InputError
from ctxai.evaluate.predictions.scores import share

POINTS = {
    "sensitivity_90": "at least 90 % sensitivity",
    "specificity_90": "at least 90 % specificity",
    "youden": "largest sum of sensitivity and specificity",
}
"""Criterion by which each threshold was chosen."""

RATES = ("sensitivity", "specificity", "ppv", "npv")
_WANTED = 0.9
CALLED = "called_"


def choose_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """For each of `POINTS`, the probability from which on a nodule is called malignant.

    Of the thresholds that reach 90 % sensitivity, the highest; of those that reach 90 % specificity, the lowest.

    Args:
        labels: 1 malignant, 0 benign (nodule,), of nodules that were not trained on.
        probabilities: of the same nodules.

    Raises:
        InputError: when the nodules are of one class.
    """
    if len(set(labels)) < 2:
        raise InputError(f"{len(labels)} nodules to choose a threshold on are of one class; both are needed")
    false, true, thresholds = roc_curve(labels, probabilities, drop_intermediate=False)
    specific = np.flatnonzero(1 - false >= _WANTED)
    place = {
        "sensitivity_90": int(np.flatnonzero(true >= _WANTED)[0]),
        "specificity_90": int(specific[-1]),
        "youden": int(np.argmax(true - false)),
    }
    return {name: float(min(thresholds[place[name]], 1.0)) for name in POINTS}


def calls(probabilities: np.ndarray, thresholds: dict[str, float]) -> dict[str, np.ndarray]:
    """Per threshold, a column named ``called_<name>``: 1 where a nodule (nodule,) is called malignant, else 0."""
    return {f"{CALLED}{name}": (probabilities >= threshold).astype(int) for name, threshold in thresholds.items()}


def called_points(predictions: pd.DataFrame) -> list[str]:
    """Names of the thresholds that a table has calls of."""
    return [name for name in POINTS if f"{CALLED}{name}" in predictions]


def rates(labels: np.ndarray, called: np.ndarray) -> dict[str, float]:
    """Sensitivity, specificity, positive and negative predictive value; NaN where there is nothing to count."""
    malignant, positive = labels == 1, called == 1
    values = (
        share(positive[malignant]),
        share(~positive[~malignant]),
        share(malignant[positive]),
        share(~malignant[~positive]),
    )
    return dict(zip(RATES, values, strict=True))
