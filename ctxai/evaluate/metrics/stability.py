"""Whether a map survives the noise of a scanner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.case import Case
from ctxai.evaluate.metric import Metric
from ctxai.evaluate.similarity import spearman


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
    draws: int = 5

    name = "stability"
    higher_is_better = True
    units = "Spearman correlation"
    needs = frozenset({"method", "views"})
    reference = "after arXiv:1806.08049, with noise in HU and rank correlation"

    def __post_init__(self) -> None:
        if self.draws < 1 or self.noise_hu < 0:
            raise InputError(f"expected a draw or more and noise of 0 HU or more, found {self}")

    def _score(self, case: Case) -> Tensor:
        views, images = case.views, case.images
        low, high = ((end - views.mean) / views.std for end in views.hu_window)
        generator = torch.Generator().manual_seed(case.seed)
        noise = torch.randn(self.draws, 1, 1, *images.shape[2:], generator=generator).to(images)
        noisy = (images + noise * (self.noise_hu / views.std)).clamp(low, high)
        maps = case.explain(noisy.flatten(0, 1), case.target).unflatten(0, (self.draws, -1))
        return torch.stack([spearman(case.maps.flatten(1), other.flatten(1)) for other in maps]).mean(dim=0)
