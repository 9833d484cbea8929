"""Whether a map changes when the model forgets what it learnt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.randomise import cascade, randomised
from ctxai.evaluate.explanations.similarity import spearman
from ctxai.explain.base import Attribution


@dataclass(frozen=True)
class Randomisation(Metric):
    """Sanity check: |Spearman's correlation| of the map with those of the model as its weights are randomised.

    From the outputs down to the patches, each stage on top of the last one; the mean over the stages. 1 for a map that
    does not depend on the weights, such as a random one that depends on the image alone, or an edge detector. The
    absolute value, since a map that only changes sign shows the same picture.

    Args:
        cascading: mean over all stages; otherwise only the last, where everything is random, at the same cost for
            randomising and one map instead of many.
        draws: randomisations that are averaged; one is little, since all images share it.

    Raises:
        InputError: for fewer draws than 1.
    """

    cascading: bool = option(True, "cascading")
    draws: int = option(1, "draws")

    name = "randomisation"
    higher_is_better = False
    units = "|Spearman correlation|"
    needs = frozenset({"method"})
    reference = "arXiv:1810.03292"

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError(f"expected at least one draw, found {self.draws}")

    def stages(self, batch: ExplanationBatch) -> Tensor:
        """Spearman's correlation, with its sign, after every stage: (draws, N, stages) float64."""
        return torch.stack([self._stages(batch, batch.seed + draw) for draw in range(self.draws)])

    def _stages(self, batch: ExplanationBatch, seed: int) -> Tensor:
        method = given(batch.method)
        if not self.cascading:
            return self._correlation(batch, method.changed(lambda model: randomised(model, seed)))[:, None]
        stages = cascade(method.model, seed)
        return torch.stack([self._correlation(batch, _on(method, model)) for model in stages], dim=1)

    @staticmethod
    def _correlation(batch: ExplanationBatch, method: Attribution) -> Tensor:
        return spearman(batch.maps.flatten(1), batch.explain(batch.images, batch.target, method).flatten(1))

    def _score(self, batch: ExplanationBatch) -> Tensor:
        return self.stages(batch).abs().mean(dim=(0, 2))


def _on(method: Attribution, model: nn.Module) -> Attribution:
    return method.changed(lambda _: model)
