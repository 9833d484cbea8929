"""How much the output falls when regions are replaced, the most important first."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_of_images, outputs_without, ranks

_PUBLISHED_SHARE = 9 / 224


@dataclass(frozen=True)
class AOPC(Metric):
    """Samek's area over the perturbation curve: mean over k = 0 .. L of f(x) - f(x after k regions).

    The regions are squares that do not overlap, ordered by the sum of the map inside, the most important first. Pixels
    beyond the last whole region stay. Only as good as the fill; a fill that the model takes for a finding turns the
    sign.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        region: side of a region in pixels; 0 takes 9 in an image of 224 pixels, and others in proportion.
        steps: L, at most as many as there are regions.
        probability: f is the target's probability and not its output.
        repeats: draws of a random fill that are averaged.

    Raises:
        InputError: for numbers below 1 (a region below 0).
    """

    fill: str = option("lung_mean", "fill")
    region: int = option(0, "region")
    steps: int = option(100, "steps")
    probability: bool = False
    repeats: int = 1

    name = "aopc"
    higher_is_better = True
    units = "output"
    needs = frozenset({"model"})
    reference = "arXiv:1509.06321"
    published = MappingProxyType({"fill": "uniform", "region": 9, "steps": 100, "repeats": 10})

    def __post_init__(self) -> None:
        if min(self.region + 1, self.steps, self.repeats) < 1:
            raise InputError(f"expected steps and repeats of at least 1 and a region, found {self}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        side = self.region or max(1, round(_PUBLISHED_SHARE * batch.images.shape[3]))
        height, width = batch.images.shape[2:]
        rows, columns = height // side, width // side
        if not rows or not columns:
            raise InputError(f"{self.name}: expected regions smaller than {height} x {width} pixels, found {side}")
        whole = batch.pixel_maps[:, None, : rows * side, : columns * side]
        order = ranks(F.avg_pool2d(whole, side).flatten(1), "MoRF").view(-1, rows, columns)
        place = order.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)
        margin = (0, width - columns * side, 0, height - rows * side)
        place = F.pad(place, margin, value=rows * columns)
        steps = min(self.steps, rows * columns)
        drops = []
        for repeat in range(self.repeats):
            outputs = outputs_without(
                batch, lambda image, change: place[image] <= change[:, None, None], steps, self.fill, repeat
            )
            drops.append(
                (self._value(batch, outputs_of_images(batch)[:, None]) - self._value(batch, outputs)).sum(dim=1)
            )
        return torch.stack(drops).mean(dim=0) / (steps + 1)

    def _value(self, batch: ExplanationBatch, outputs: Tensor) -> Tensor:
        return batch.probability(outputs) if self.probability else batch.explained(outputs)
