"""Whether a map survives the noise of a scanner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.similarity import spearman


@dataclass(frozen=True)
class Stability(Metric):
    """Mean over draws of Spearman's correlation of the map with the map of the image plus Gaussian noise.

    The noise is in HU, clamped to the window, the same fields for every image. High also for a map that ignores the
    image; read it beside `randomisation`.

    Args:
        noise_hu: standard deviation; 20 HU is about that of a low-dose chest CT in 1 mm slices.
        draws: noisy copies of each image.

    Raises:
        InputError: for fewer draws than 1 or negative noise.
    """

    noise_hu: float = 20.0
    draws: int = option(5, "draws")

    name = "stability"
    higher_is_better = True
    units = "Spearman correlation"
    needs = frozenset({"method", "views"})
    reference = "after arXiv:1806.08049, with noise in HU and rank correlation"

    def __post_init__(self) -> None:
        if self.draws < 1 or self.noise_hu < 0:
            raise InputError(f"expected a draw or more and noise of 0 HU or more, found {self}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        views, images = given(batch.views), batch.images
        low, high = ((end - views.mean) / views.std for end in views.hu_window)
        generator = torch.Generator().manual_seed(batch.seed)
        noise = torch.randn(self.draws, 1, 1, *images.shape[2:], generator=generator).to(images)
        noisy = (images + noise * (self.noise_hu / views.std)).clamp(low, high)
        maps = batch.explain(noisy.flatten(0, 1), batch.target).unflatten(0, (self.draws, -1))
        return torch.stack([spearman(batch.maps.flatten(1), other.flatten(1)) for other in maps]).mean(dim=0)
