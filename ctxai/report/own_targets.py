"""Predictions of targets of one's own in words and numbers, from a row of predictions.csv."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctxai.data.targets import Target, TargetTable
from ctxai.export.nodule_summary import OVER_MODELS
from ctxai.report.page import number, percent


@dataclass(frozen=True)
class OwnPrediction:
    """The prediction of one target.

    Attributes:
        name: of the target, with its unit, or with the class that a probability is of.
        value: what sorts: the number, or the probability; None where there is none.
        predicted: the number, the probability, or the most probable class with its probability.
        interval: the 90 % interval, or the classes that are possible at that level.
    """

    name: str
    value: float | None
    predicted: str
    interval: str


def own_predictions(row: Mapping[str, Any], own: TargetTable) -> Sequence[OwnPrediction]:
    """The predictions of a nodule in the order of the table."""
    return [_prediction(row, target) for target in own]


def _prediction(row: Mapping[str, Any], target: Target) -> OwnPrediction:
    name = target.name
    if target.kind == "multiclass":
        return _class(row, target)
    if target.kind == "binary":
        value, low, high = (row.get(f"{name}_probability{end}") for end in ("", "_low", "_high"))
        title = f"{name}: {target.classes[1]}" if target.classes else name
        apart = _apart(row, f"{name}_probability", _points)
        return OwnPrediction(title, value, _share(value), f"{_share(low)} to {_share(high)}{apart}")
    value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    title = f"{name}, {target.unit}" if target.unit else name
    return OwnPrediction(title, value, number(value), f"{number(low)} to {number(high)}{_apart(row, name, number)}")


def _share(value: float | None) -> str:
    return number(None) if value is None else percent(value)


def _class(row: Mapping[str, Any], target: Target) -> OwnPrediction:
    outputs = dict(zip(target.outputs, target.classes, strict=True))
    known = {output: row.get(f"{output}_probability") for output in outputs}
    probabilities = {output: value for output, value in known.items() if value is not None}
    if not probabilities:
        return OwnPrediction(target.name, None, number(None), "")
    best = max(probabilities, key=lambda output: probabilities[output])
    possible = [label for output, label in outputs.items() if row.get(f"{output}_possible")]
    value = probabilities[best]
    apart = _apart(row, f"{best}_probability", _points)
    interval = f"possible: {', '.join(possible)}{apart}"
    return OwnPrediction(target.name, value, f"{outputs[best]}, {percent(value)}", interval)


def _points(spread: float) -> str:
    return f"{100 * spread:.1f} %"


def _apart(row: Mapping[str, Any], column: str, written: Callable[[float], str]) -> str:
    """End of an interval's text for an ensemble: how far its models are apart."""
    spread = row.get(f"{column}_spread")
    return "" if spread is None else f"; {OVER_MODELS} {written(spread)}"
