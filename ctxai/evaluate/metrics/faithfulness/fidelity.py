"""Area between the curves of removing the least and the most important pixels first, on outputs."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_after_removal, steps_of


@dataclass(frozen=True)
class Fidelity(Metric):
    """CDAM's fidelity: the area between the LeRF and the MoRF curve of the target's output over the removed share.

    Pixels are ranked by the map at the images' size; after every floor(k / steps · H · W) of them the output is read;
    the trapezoid of LeRF - MoRF over [0, 1]. 0 for a constant map, and the opposite for the map of opposite sign. In
    raw outputs: not comparable between models, targets or, strictly, images; `fidelity_normalised` is.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        steps: parts of the curves.
    """

    fill: str = option("lung_mean", "fill")
    steps: int = option(40, "steps")

    name = "fidelity"
    higher_is_better = True
    units = "output"
    needs = frozenset({"model"})
    reference = "arXiv:2312.02364"
    published = MappingProxyType({"fill": "blur_14"})
    zero_by_chance = True
    every_target = True
    also = published
    summary_column: ClassVar[int | None] = 0

    def curves(self, batch: ExplanationBatch) -> tuple[Tensor, Tensor]:
        """The target's output along MoRF and along LeRF, (N, steps + 1) each."""
        morf, lerf = outputs_after_removal(batch, ["MoRF", "LeRF"], steps_of(batch, self.steps), self.fill)
        return batch.explained(morf), batch.explained(lerf)

    def _score(self, batch: ExplanationBatch) -> Tensor:
        morf, lerf = self.curves(batch)
        return torch.trapezoid(lerf - morf, dx=1 / self.steps)


@dataclass(frozen=True)
class FidelityNormalised(Fidelity):
    """Fidelity as a share of the range that an image's two curves span, from -1 to 1; NaN where they do not move.

    A model's scale, the target's unit and how much an image reacts to being filled cancel.
    """

    name = "fidelity_normalised"
    units = "share of the curves' range"
    also = MappingProxyType({})
    summary_column = None

    def _score(self, batch: ExplanationBatch) -> Tensor:
        both = torch.cat(self.curves(batch), dim=1)
        span = both.amax(dim=1) - both.amin(dim=1)
        return (super()._score(batch) / span).where(span > 0, float("nan"))
