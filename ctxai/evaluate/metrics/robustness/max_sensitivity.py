"""The largest change of a map under small changes of the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option


@dataclass(frozen=True)
class MaxSensitivity(Metric):
    """Yeh's max-sensitivity: max over draws of ‖map(x + δ) - map(x)‖ / ‖map(x)‖, δ uniform in [-radius, radius].

    In the images' own (preprocessed) units. Depends on a map's scale and offset, unlike `stability`; low also for a map
    that ignores the image.

    Args:
        radius: largest change of a pixel.
        draws: changed copies of each image.

    Raises:
        InputError: for fewer draws than 1 or a negative radius.
    """

    radius: float = 0.02
    draws: int = option(10, "draws")

    name = "max_sensitivity"
    higher_is_better = False
    units = "relative to the map"
    needs = frozenset({"method"})
    reference = "arXiv:1901.09392"

    def __post_init__(self) -> None:
        if self.draws < 1 or self.radius < 0:
            raise InputError(f"expected a draw or more and a radius of 0 or more, found {self}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        generator = torch.Generator().manual_seed(batch.seed)
        draws = torch.rand(self.draws, 1, *batch.images.shape[1:], generator=generator).to(batch.images)
        changed = batch.images + self.radius * (2 * draws - 1)
        maps = batch.explain(changed.flatten(0, 1), batch.target).unflatten(0, (self.draws, -1)).double()
        size = batch.maps.double().flatten(1).norm(dim=1)
        change = (maps - batch.maps).flatten(2).norm(dim=2).amax(dim=0)
        return (change / size).where(size > 0, float("nan"))
