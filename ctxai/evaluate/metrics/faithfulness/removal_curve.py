"""Base class of RISE's two metrics: the area under the probability while pixels are removed in the order of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import Order, outputs_after_removal, steps_of


@dataclass(frozen=True)
class RemovalCurve(Metric):
    """Trapezoid over [0, 1] of the target's probability over the share of removed pixels.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        steps: parts of the curve; published are 224, one per row of pixels.
    """

    fill: str = option("lung_mean", "fill")
    steps: int = option(40, "steps")

    order: ClassVar[Order]
    units = "probability"
    needs = frozenset({"model"})
    reference = "arXiv:1806.07421"

    def _score(self, batch: ExplanationBatch) -> Tensor:
        (outputs,) = outputs_after_removal(batch, [self.order], steps_of(batch, self.steps), self.fill)
        return torch.trapezoid(batch.probability(outputs), dx=1 / self.steps)
