"""Decisions at thresholds as lines of a table: for the model card, the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

DecisionRow: TypeAlias = tuple[str, str, float | None, list[dict[str, float | None]]]

POINTS = {
    "sensitivity_90": "at least 90 % sensitivity",
    "specificity_90": "at least 90 % specificity",
    "youden": "largest sum of sensitivity and specificity",
}
"""Criterion by which each threshold was chosen."""

RATES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive pred. value",
    "npv": "negative pred. value",
}
"""How the rates at a threshold are called."""


def decision_rows(test: Mapping[str, Any], validation: Mapping[str, Any]) -> list[DecisionRow]:
    """(target, criterion, threshold, value and interval of each of `RATES`) of every operating point.

    Args:
        test: figures, as `ctxai.evaluate.predictions.evaluation.evaluate_predictions` gives them.
        validation: thresholds, as `ctxai.evaluate.predictions.decisions.choose_all` gives them.
    """
    judged = {"malignancy": (test.get("malignancy", {}), validation)}
    for name, row in test.get("own_targets", {}).items():
        judged[name] = row, validation.get("own_targets", {}).get(name, {})
    return [
        (name, POINTS[point], chosen.get("thresholds", {}).get(point), [rates[rate] for rate in RATES])
        for name, (row, chosen) in judged.items()
        for point, rates in row.get("operating_points", {}).items()
    ]
