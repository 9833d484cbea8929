"""How fast the probability falls when the most important pixels go."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_after_removal, steps_of


@dataclass(frozen=True)
class Deletion(Metric):
    """RISE's deletion: trapezoid over [0, 1] of the target's probability while the most important pixels are removed.

    Low also where the model answers "no" to any damaged image; compare with a random map's.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        steps: parts of the curve; published are 224, one per row of pixels.
    """

    fill: str = option("lung_mean", "fill")
    steps: int = option(40, "steps")

    name = "deletion"
    higher_is_better = False
    units = "probability"
    needs = frozenset({"model"})
    reference = "arXiv:1806.07421"
    published = MappingProxyType({"fill": "zero", "steps": 224})

    def _score(self, batch: ExplanationBatch) -> Tensor:
        (outputs,) = outputs_after_removal(batch, ["MoRF"], steps_of(batch, self.steps), self.fill)
        return torch.trapezoid(batch.probability(outputs), dx=1 / self.steps)
