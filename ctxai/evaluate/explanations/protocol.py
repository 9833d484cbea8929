"""Protocol of a benchmark: metrics with their options, and on how many nodules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ctxai.evaluate.explanations.effort import Effort
from ctxai.evaluate.explanations.metric import Metric, Setting, get_metric, list_metrics


def make_metrics(names: Sequence[str], fill: str, effort: Effort, token_pixels: int) -> list[Metric]:
    """The metrics of these names, or all of them, with the options that the effort gives.

    Args:
        names: of metrics; none for all.
        fill: what replaces removed pixels.
        effort: how thorough.
        token_pixels: side of a token, the region of AOPC.

    Raises:
        InputError: for an unknown name.
    """
    settings: dict[Setting, Any] = {
        "fill": fill,
        "steps": effort.steps,
        "boxes": effort.boxes,
        "draws": effort.draws,
        "region": token_pixels,
        "cascading": effort.everything,
    }
    metrics: list[Metric] = []
    for name in names or list_metrics():
        kind = get_metric(name)
        taken = {field.name: field.metadata.get("setting") for field in dataclasses.fields(kind)}
        options = {field: settings[setting] for field, setting in taken.items() if setting is not None}
        metrics += dict.fromkeys([kind(**options), kind(**{**options, **kind.also})])
    return metrics


def explains_again(metric: Metric) -> bool:
    """Whether the metric asks the method for maps of changed images or models."""
    return "method" in metric.needs and "model" not in metric.needs


def for_every_target(metric: Metric, fill: str) -> bool:
    """Whether a metric is measured for the targets after the first, too, when the effort is not full."""
    if metric.every_target:
        return metric.options.get("fill", fill) == fill
    return not metric.needs & {"model", "method", "labels"}
