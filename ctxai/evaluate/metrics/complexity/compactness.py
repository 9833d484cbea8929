"""How much of a map is empty."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric


@dataclass(frozen=True)
class Compactness(Metric):
    """Share of a map's values with |s| ≤ ``threshold`` · max |s|, on the map's own grid.

    A constant map other than 0 scores 0; a map of zeros points nowhere and scores NaN. Says nothing about where the
    rest lies: a wrong map can be compact.

    Args:
        threshold: share of the largest magnitude below which a value counts as nothing.
        signed_maximum: compare with max s, strictly, as the first version of the paper did.

    Raises:
        InputError: for a threshold outside 0 to 1.
    """

    threshold: float = 0.05
    signed_maximum: bool = False

    name = "compactness"
    higher_is_better = True
    units = "share"
    reference = "arXiv:2312.02364"
    summary_column = 2

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"expected a threshold from 0 to below 1, found {self.threshold}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        maps = batch.maps.double().flatten(1)
        size = maps.abs()
        if self.signed_maximum:
            empty = size < self.threshold * maps.amax(dim=1, keepdim=True)
        else:
            empty = size <= self.threshold * size.amax(dim=1, keepdim=True)
        return empty.double().mean(dim=1).where(size.amax(dim=1) > 0, float("nan"))
