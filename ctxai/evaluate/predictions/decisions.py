"""Yes-or-no decisions at thresholds of a probability: malignancy, or each binary target of a run's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ctxai.data.targets import TargetTable
from ctxai.evaluate.predictions.operating_points import calls, choose_thresholds
from ctxai.evaluate.predictions.own_targets import LABEL, called_prefix

logger = logging.getLogger(__name__)

_DECIMALS = 6


@dataclass(frozen=True)
class Decision:
    """A yes or no, by columns of a table of predictions.

    Attributes:
        target: what is decided.
        label: column of the labels, 1 and 0.
        probability: column of the calibrated probabilities.
        prefix: beginning of the columns of its calls; empty for malignancy.
    """

    target: str
    label: str
    probability: str
    prefix: str = ""


MALIGNANCY = Decision("malignancy", "label_malignancy", "malignancy_probability")


def decisions(predictions: pd.DataFrame, own: TargetTable | None) -> list[Decision]:
    """The decisions that a table of predictions has probabilities of."""
    if own is None:
        return [MALIGNANCY] if MALIGNANCY.probability in predictions else []
    return [
        Decision(one.name, f"{one.name}{LABEL}", f"{one.name}_probability", called_prefix(one))
        for one in own
        if one.kind == "binary"
    ]


def choose_all(validation: pd.DataFrame, decided: Sequence[Decision]) -> dict[str, Any]:
    """Thresholds on nodules that were not trained on: ``thresholds`` of malignancy, and those of each own target.

    An own target whose nodules are of one class has none, of which a warning tells.

    Args:
        validation: predictions, as `predict_rows` gives them.
        decided: of :func:`decisions`.

    Raises:
        InputError: when the nodules with a malignancy label are of one class.
    """
    chosen: dict[str, Any] = {"thresholds": {}}
    for one in decided:
        known = validation[validation[one.label].notna()]
        labels = known[one.label].to_numpy(float)
        if one.prefix and len(set(labels)) < 2:
            logger.warning(
                "%s: no operating points, its %d validation nodules are of one class", one.target, len(labels)
            )
            continue
        found = choose_thresholds(labels, known[one.probability].to_numpy(float))
        thresholds = {name: round(threshold, _DECIMALS) for name, threshold in found.items()}
        if one.prefix:
            chosen.setdefault("own_targets", {})[one.target] = {"thresholds": thresholds}
        else:
            chosen["thresholds"] = thresholds
    return chosen


def add_calls(predictions: pd.DataFrame, chosen: Mapping[str, Any], decided: Sequence[Decision]) -> None:
    """Add a column for each threshold: 1 where a nodule is called positive, else 0.

    Args:
        predictions: as `predict_rows` gives them; changed in place.
        chosen: of :func:`choose_all`.
        decided: of :func:`decisions`.
    """
    for one in decided:
        of_target = chosen.get("own_targets", {}).get(one.target, {}) if one.prefix else chosen
        probabilities: np.ndarray = predictions[one.probability].to_numpy(float)
        for name, called in calls(probabilities, of_target.get("thresholds", {}), one.prefix).items():
            predictions[name] = called
