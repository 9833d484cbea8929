"""A reader's own values of targets: fields of the page, and columns of review.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctxai.data.targets import LIDC, Target, TargetTable
from ctxai.errors import InputError
from ctxai.evaluate.verdicts import MODEL, READER

_BINARY = ("0", "1")


def asked_targets(own: TargetTable | None, outputs: Sequence[str]) -> list[Target]:
    """Targets that a reader may give a value of: the run's own, or LIDC-IDRI's beside malignancy.

    Args:
        own: the run's table of targets of its own; None where it has none.
        outputs: names of the run's outputs.
    """
    if own is not None:
        return list(own)
    return [one for one in LIDC if one.name in outputs and one.name != "malignancy"]


def field_of(target: Target) -> dict[str, Any]:
    """Field of the page for a value, as JSON: a choice of ``classes``, or a number from ``low`` to ``high``."""
    title = f"{target.name}, {target.unit}" if target.unit else target.name
    return {"name": target.name, "title": title, "classes": _choices(target), "low": target.low, "high": target.high}


def check_values(values: Mapping[str, float | str], asked: Sequence[Target]) -> None:
    """Refuse values that no target has.

    Raises:
        InputError: for an unknown target, another class, or a number out of range.
    """
    by_name = {one.name: one for one in asked}
    for name, value in values.items():
        target = by_name.get(name)
        if target is None:
            raise InputError(f"verdict: the run has no target {name[:60]}")
        choices, (low, high) = _choices(target), target.limits
        if choices and value not in choices:
            raise InputError(f"verdict: expected {name} as one of {', '.join(choices)}")
        if not choices and (isinstance(value, str) or not low <= value <= high):
            raise InputError(f"verdict: expected {name} as a number from {low:g} to {high:g}")


def review_values(
    values: Mapping[str, float | str], asked: Sequence[Target], own: TargetTable | None, row: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of review.csv: the reader's values, and the model's numbers of these targets and of all own ones.

    Args:
        values: of the reader, by target.
        asked: of :func:`asked_targets`.
        own: as there.
        row: the model's answer, of predictions.csv.
    """
    columns: dict[str, Any] = {}
    for one in asked:
        if own is not None or one.name in values:
            columns[f"{READER}{one.name}"] = values.get(one.name)
            columns |= {f"{MODEL}{name}": row.get(name) for name in _columns(one)}
    return columns


def _choices(target: Target) -> tuple[str, ...]:
    return target.classes or (_BINARY if target.kind == "binary" else ())


def _columns(target: Target) -> list[str]:
    """Columns of predictions.csv with a target's number or probabilities, and their intervals."""
    if target.kind == "multiclass":
        return [f"{output}_{kind}" for output in target.outputs for kind in ("probability", "possible")]
    column = f"{target.name}_probability" if target.kind == "binary" else target.name
    return [column, f"{column}_low", f"{column}_high"]
