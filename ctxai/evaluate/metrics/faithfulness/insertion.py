"""How fast the probability rises when the most important pixels come."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_after_removal, steps_of


@dataclass(frozen=True)
class Insertion(Metric):
    """RISE's insertion: trapezoid over [0, 1] of the target's probability while a filled image gets its pixels back.

    The most important pixels come first; what is still missing are the least important ones, so that the curve is that
    of their removal, run backwards.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        steps: parts of the curve; published are 224, one per row of pixels.
    """

    fill: str = option("lung_mean", "fill")
    steps: int = option(40, "steps")

    name = "insertion"
    higher_is_better = True
    units = "probability"
    needs = frozenset({"model"})
    reference = "arXiv:1806.07421"
    published = MappingProxyType({"fill": "blur_rise", "steps": 224})

    def _score(self, batch: ExplanationBatch) -> Tensor:
        (outputs,) = outputs_after_removal(batch, ["LeRF"], steps_of(batch, self.steps), self.fill)
        return torch.trapezoid(batch.probability(outputs), dx=1 / self.steps)
