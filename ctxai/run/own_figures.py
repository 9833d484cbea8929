"""Figures of targets of one's own as lines of a table: for the model card, the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

FigureRow: TypeAlias = tuple[str, int, str, dict[str, float | None]]

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


def figure_rows(found: Mapping[str, Any], subgroups: bool = False) -> list[FigureRow]:
    """(target with its unit, nodules, figure, its value and interval).

    Args:
        found: per target, as `ctxai.evaluate.predictions.own_targets.evaluate_own` gives it.
        subgroups: those of subgroups too, after all others.
    """
    rows, of_subgroups = [], []
    for name, row in found.items():
        title = f"{name}, {row['unit']}" if row["unit"] else name
        rows += _rows(title, row)
        for attribute, groups in row.get("subgroups", {}).items():
            for group, figures in groups.items():
                of_subgroups += _rows(f"{title}; {attribute} {group}", figures)
    return rows + of_subgroups if subgroups else rows


def _rows(title: str, row: Mapping[str, Any]) -> list[FigureRow]:
    return [(title, row["nodules"], TITLES[key], value) for key, value in row["figures"].items()]
