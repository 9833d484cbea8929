"""Thresholds chosen on one set of nodules, and how often they are right on another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from ctxai.errors import InputError
from ctxai.evaluate.predictions.scores import share
from ctxai.run.decisions import POINTS, RATES

_WANTED = 0.9
_CALLED = "called_"


def choose_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """For each of `POINTS`, the probability from which on a nodule is called positive.

    Of the thresholds that reach 90 % sensitivity, the highest; of those that reach 90 % specificity, the lowest.

    Args:
        labels: 1 positive, 0 negative (nodule,), of nodules that were not trained on.
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


def calls(probabilities: np.ndarray, thresholds: Mapping[str, float], prefix: str = "") -> dict[str, np.ndarray]:
    """Per threshold, a column ``<prefix>called_<name>``: 1 where a nodule (nodule,) is called positive, else 0."""
    return {
        f"{prefix}{_CALLED}{name}": (probabilities >= threshold).astype(int) for name, threshold in thresholds.items()
    }


def called_points(predictions: pd.DataFrame, prefix: str = "") -> dict[str, np.ndarray]:
    """Calls (nodule,) by the name of their threshold, of those that a table has."""
    columns = {name: f"{prefix}{_CALLED}{name}" for name in POINTS}
    return {name: predictions[column].to_numpy(int) for name, column in columns.items() if column in predictions}


def rates(labels: np.ndarray, called: np.ndarray) -> dict[str, float]:
    """Sensitivity, specificity, positive and negative predictive value; NaN where there is nothing to count."""
    truth, positive = labels == 1, called == 1
    values = (share(positive[truth]), share(~positive[~truth]), share(truth[positive]), share(~truth[~positive]))
    return dict(zip(RATES, values, strict=True))


def point_rates(labels: np.ndarray, called: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`rates` of every threshold, as ``operating_points.<name>.<rate>``."""
    return {
        f"operating_points.{name}.{rate}": value
        for name, calls_ in called.items()
        for rate, value in rates(labels, calls_).items()
    }
