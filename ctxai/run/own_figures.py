"""Figures of targets of one's own as lines of a table: for the model card, the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLES = {
    "auc": "AUC",
    "pr_auc": "precision-recall area",
    "brier": "Brier score",
    "ece": "calibration error",
    "macro_auc": "macro AUC",
    "accuracy": "accuracy",
    "set_size": "possible classes",
    "mae": "mean absolute error",
    "spearman": "Spearman",
    "coverage": "coverage",
}
"""How figures are called."""


def figure_rows(found: Mapping[str, Any]) -> list[tuple[str, int, str, dict[str, float | None]]]:
    """(target with its unit, nodules, figure, its value and interval).

    Args:
        found: per target, as `ctxai.evaluate.predictions.own_targets.evaluate_own` gives it.
    """
    return [
        (f"{name}, {row['unit']}" if row["unit"] else name, row["nodules"], TITLES[key], value)
        for name, row in found.items()
        for key, value in row["figures"].items()
    ]
