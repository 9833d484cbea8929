"""Every figure of one explanation method, nodule by nodule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ctxai.evaluate.case import Case
from ctxai.evaluate.metric import Metric
from ctxai.evaluate.protocol import Effort, explains_again, for_every_target
from ctxai.evaluate.subjects import Subjects
from ctxai.explain.base import Attribution
from ctxai.models.run import Run

COLUMNS = ("target", "metric", "place", "nodule_id", "patient_id", "score")
"""Of a table of scores: ``place`` is the mask that a metric was given, empty without one."""

_AT_ONCE = 32
_TIMED_IMAGES = 8
_PASSES = 3  # a single pass of a small model is too short for the clock


@dataclass(frozen=True, eq=False)
class Judged:
    """One method on some nodules.

    Attributes:
        scores: one row per target, metric and nodule; :data:`COLUMNS`.
        maps: (image, target, h, w).
        forward_passes: processor time of explaining one target, in passes of the model without gradients.
    """

    scores: pd.DataFrame
    maps: Tensor
    forward_passes: float


def judge_method(
    run: Run,
    method: Attribution,
    subjects: Subjects,
    targets: Sequence[str],
    metrics: Sequence[Metric],
    fill: str,
    effort: Effort,
    seed: int = 0,
) -> Judged:
    """Score the maps of ``method`` for every target by every metric that the subjects allow.

    Class sensitivity compares the maps of every further target with those of the first.

    Args:
        run: the model, which may be another than the method's own (a control).
        method: what explains.
        subjects: the nodules.
        targets: names of outputs, malignancy first.
        metrics: as :func:`~ctxai.evaluate.protocol.make_metrics` gives them.
        fill: of removed pixels.
        effort: how thorough.
        seed: of what metrics draw.
    """
    blocks = subjects.images.split(_AT_ONCE)
    maps = torch.cat([method.attribute(block, target=list(targets)) for block in blocks])
    tables = []
    shared: Case | None = None
    for place, target in enumerate(targets):
        chosen = [m for m in metrics if place == 0 or effort.everything or for_every_target(m, fill)]
        case = _case(run, method, subjects, maps, targets, place, seed)
        if not method.class_specific:
            shared = shared or case
            case = shared if place == 0 else shared.for_target(case.target, case.link, case.labels)
        once = [metric for metric in chosen if not explains_again(metric) and "second_target" not in metric.needs]
        tables += _scored(case, subjects, once, target)
        again = [metric for metric in chosen if explains_again(metric)]
        if again:
            few = subjects.first(effort.again)
            tables += _scored(
                _case(run, method, few, maps[: len(few.images)], targets, place, seed), few, again, target
            )
        pairs = [metric for metric in chosen if "second_target" in metric.needs]
        if place > 0 and pairs:
            tables += _scored(_case(run, method, subjects, maps, targets, place, seed), subjects, pairs, target)
    return Judged(pd.concat(tables, ignore_index=True), maps, cost_of(run, method, subjects, targets[0]))


def cost_of(run: Run, method: Attribution, subjects: Subjects, target: str, repeats: int = 2) -> float:
    """Processor time of one explanation in passes of the model, the least of repeats that take turns."""
    images = subjects.images[:_TIMED_IMAGES]
    passes, explanations = [], []
    for _ in range(repeats + 1):
        passes.append(_seconds(lambda: _forward(run, images)))
        explanations.append(_seconds(lambda: method.attribute(images, target=target)))
    return min(explanations[1:]) / max(min(passes[1:]) / _PASSES, 1e-9)


def _forward(run: Run, images: Tensor) -> None:
    with torch.inference_mode():
        for _ in range(_PASSES):
            run.model(images)


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _case(
    run: Run, method: Attribution, subjects: Subjects, maps: Tensor, targets: Sequence[str], place: int, seed: int
) -> Case:
    names = list(run.target_names)
    first = place == 0
    malignancy = targets[place] == "malignancy"
    return Case(
        subjects.images,
        maps[:, place],
        run.model,
        target=names.index(targets[place]),
        views=run.views,
        method=method,
        link="sigmoid" if malignancy else "identity",
        second_target=None if first else names.index(targets[0]),
        second_maps=None if first else maps[:, 0],
        labels=subjects.labels if malignancy else None,
        seed=seed,
    )


def _scored(case: Case, subjects: Subjects, metrics: Sequence[Metric], target: str) -> list[pd.DataFrame]:
    """Tables of the metrics that the case allows, those of masks once for each mask."""
    tables = []
    for name, masks in {"": None, **subjects.masks}.items():
        chosen = [metric for metric in metrics if ("mask" in metric.needs) == bool(name)]
        if not chosen:
            continue
        where = case if masks is None else _with_masks(case, masks)
        for metric in chosen:
            if metric.missing(where):
                continue
            scores = subjects.per_nodule(metric.score(where))
            if np.isnan(scores).all():
                continue
            given = {"target": target, "metric": metric.label, "place": name}
            nodules = {"nodule_id": subjects.nodule_ids, "patient_id": subjects.patient_ids, "score": scores}
            tables.append(pd.DataFrame({**given, **nodules}, columns=list(COLUMNS)))
    return tables


def _with_masks(case: Case, masks: Tensor) -> Case:
    """The same maps with a place where the evidence is expected."""
    return Case(
        case.images, case.maps, case.model, case.target, masks, case.views, case.method, link=case.link, seed=case.seed
    )
