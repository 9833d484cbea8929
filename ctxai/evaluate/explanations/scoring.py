"""Every figure of one explanation method, nodule by nodule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.effort import Effort
from ctxai.evaluate.explanations.evaluation_set import EvaluationSet, first_binary
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.protocol import explains_again, for_every_target
from ctxai.explain.base import Attribution
from ctxai.run.run import Run

COLUMNS = ("target", "metric", "place", "nodule_id", "patient_id", "score")
"""Of a table of scores: ``place`` is the mask that a metric was given, empty without one."""

_AT_ONCE = 32
_TIMED_IMAGES = 8
_PASSES = 3  # a single pass of a small model is too short for the clock


@dataclass(frozen=True, eq=False)
class MethodScores:
    """One method on some nodules.

    Attributes:
        scores: one row per target, metric and nodule; :data:`COLUMNS`.
        maps: (image, target, h, w).
        forward_passes: time of explaining one target, in passes of the model without gradients.
    """

    scores: pd.DataFrame
    maps: Tensor
    forward_passes: float


def evaluate_method(
    run: Run,
    method: Attribution,
    subjects: EvaluationSet,
    targets: Sequence[str],
    metrics: Sequence[Metric],
    fill: str,
    effort: Effort,
    seed: int = 0,
) -> MethodScores:
    """Score the maps of ``method`` for every target by every metric that the subjects allow.

    Class sensitivity compares the maps of every further target with those of the first.

    Args:
        run: the model, which may be another than the method's own (a control).
        method: what explains.
        subjects: the nodules.
        targets: names of outputs, malignancy first.
        metrics: as :func:`~ctxai.evaluate.explanations.protocol.make_metrics` gives them.
        fill: of removed pixels.
        effort: how thorough.
        seed: of what metrics draw.
    """
    blocks = subjects.images.split(_AT_ONCE)
    maps = torch.cat([method.attribute(block, target=list(targets)) for block in blocks])
    tables = []
    shared: ExplanationBatch | None = None
    for place, target in enumerate(targets):
        chosen = [m for m in metrics if place == 0 or effort.everything or for_every_target(m, fill)]
        batch = _batch(run, method, subjects, maps, targets, place, seed)
        if not method.class_specific:
            shared = shared or batch
            batch = shared if place == 0 else shared.for_target(batch.target, batch.link, batch.labels)
        once = [metric for metric in chosen if not explains_again(metric) and "second_target" not in metric.needs]
        tables += _scored(batch, subjects, once, target)
        again = [metric for metric in chosen if explains_again(metric)]
        if again:
            few = subjects.first(effort.again)
            tables += _scored(
                _batch(run, method, few, maps[: len(few.images)], targets, place, seed), few, again, target
            )
        pairs = [metric for metric in chosen if "second_target" in metric.needs]
        if place > 0 and pairs:
            tables += _scored(_batch(run, method, subjects, maps, targets, place, seed), subjects, pairs, target)
    return MethodScores(pd.concat(tables, ignore_index=True), maps, cost_of(run, method, subjects, targets[0]))


def cost_of(run: Run, method: Attribution, subjects: EvaluationSet, target: str, repeats: int = 2) -> float:
    """Time of one explanation in passes of the model, the least of repeats that take turns.

    Of the processor; on a GPU, from the call to the end of its work.
    """
    images = subjects.images[:_TIMED_IMAGES]
    passes, explanations = [], []
    for _ in range(repeats + 1):
        passes.append(_seconds(lambda: _forward(run, images), images.device))
        explanations.append(_seconds(lambda: method.attribute(images, target=target), images.device))
    return min(explanations[1:]) / max(min(passes[1:]) / _PASSES, 1e-9)


def _forward(run: Run, images: Tensor) -> None:
    with torch.inference_mode():
        for _ in range(_PASSES):
            run.model(images)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _batch(
    run: Run, method: Attribution, subjects: EvaluationSet, maps: Tensor, targets: Sequence[str], place: int, seed: int
) -> ExplanationBatch:
    names = list(run.target_names)
    first = place == 0
    owner = None if run.own is None else run.own.owner(targets[place])
    probability = targets[place] == "malignancy" or (owner is not None and owner.kind == "binary")
    labelled = targets[place] == "malignancy" or (owner is not None and owner is first_binary(run.own))
    return ExplanationBatch(
        subjects.images,
        maps[:, place],
        run.model,
        target=names.index(targets[place]),
        views=run.views,
        method=method,
        link="sigmoid" if probability else "identity",
        second_target=None if first else names.index(targets[0]),
        second_maps=None if first else maps[:, 0],
        labels=subjects.labels if labelled else None,
        seed=seed,
    )


def _scored(
    batch: ExplanationBatch, subjects: EvaluationSet, metrics: Sequence[Metric], target: str
) -> list[pd.DataFrame]:
    """Tables of the metrics that the batch allows, those of masks once for each mask."""
    tables = []
    for name, masks in {"": None, **subjects.masks}.items():
        chosen = [metric for metric in metrics if ("mask" in metric.needs) == bool(name)]
        if not chosen:
            continue
        where = batch if masks is None else replace(batch, masks=masks)
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
