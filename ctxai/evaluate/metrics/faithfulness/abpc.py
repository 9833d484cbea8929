"""Area between perturbation curves, on probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_after_removal, steps_of


@dataclass(frozen=True)
class ABPC(Metric):
    """AGCAM's area between perturbation curves: mean over 0, 10 .. 100 % of removed pixels of p(LeRF) - p(MoRF).

    A plain mean of the points, no trapezoid. 0 for a constant map, and the opposite for the map of opposite sign. A
    saturated model (p near 0 or 1) scores near 0 whatever the map.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        steps: parts of the curves; one point more.
    """

    fill: str = option("lung_mean", "fill")
    steps: int = option(10, "steps")

    name = "abpc"
    higher_is_better = True
    units = "probability"
    needs = frozenset({"model"})
    reference = "arXiv:2402.04563"
    published = MappingProxyType({"fill": "zero"})
    zero_by_chance = True

    def _score(self, batch: ExplanationBatch) -> Tensor:
        morf, lerf = outputs_after_removal(batch, ["MoRF", "LeRF"], steps_of(batch, self.steps), self.fill)
        return (batch.probability(lerf) - batch.probability(morf)).mean(dim=1)
