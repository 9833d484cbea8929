"""Area between the curves of removing the least and the most important pixels first, on outputs."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ctxai.evaluate.case import Case
from ctxai.evaluate.metric import Metric
from ctxai.evaluate.perturb import outputs_after_removal, steps_of


@dataclass(frozen=True)
class Fidelity(Metric):
    """CDAM's fidelity: the area between the LIF and the MIF curve of the target's output over the removed share.

    Pixels are ranked by the map at the images' size; after every floor(k / steps · H · W) of them the output is read;
    the trapezoid of LIF - MIF over [0, 1]. 0 for a constant map, and the opposite for the map of opposite sign. In raw
    outputs: not comparable between models, targets or, strictly, images; `fidelity_normalised` is.

    Args:
        fill: see :func:`~ctxai.evaluate.fills.make_fill`.
        steps: parts of the curves.
    """

    fill: str = "lung_mean"
    steps: int = 40

    name = "fidelity"
    higher_is_better = True
    units = "output"
    needs = frozenset({"model"})
    reference = "arXiv:2312.02364"
    published = MappingProxyType({"fill": "blur_14"})

    def curves(self, case: Case) -> tuple[Tensor, Tensor]:
        """The target's output along MIF and along LIF, (N, steps + 1) each."""
        most, least = outputs_after_removal(case, ["most", "least"], steps_of(case, self.steps), self.fill)
        return case.explained(most), case.explained(least)

    def _score(self, case: Case) -> Tensor:
        most, least = self.curves(case)
        return torch.trapezoid(least - most, dx=1 / self.steps)


@dataclass(frozen=True)
class FidelityNormalised(Fidelity):
    """Fidelity as a share of the range that an image's two curves span, from -1 to 1; NaN where they do not move.

    A model's scale, the target's unit and how much an image reacts to being filled cancel.
    """

    name = "fidelity_normalised"
    units = "share of the curves' range"

    def _score(self, case: Case) -> Tensor:
        both = torch.cat(self.curves(case), dim=1)
        span = both.amax(dim=1) - both.amin(dim=1)
        return (super()._score(case) / span).where(span > 0, float("nan"))
