"""Whether a map survives another reconstruction kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.similarity import spearman
from ctxai.explain.clinical_baselines import gaussian_blur


@dataclass(frozen=True)
class KernelStability(Metric):
    """Mean of Spearman's correlations with the maps of the image under a softer and under a sharper kernel.

    Softer: a Gaussian G of ``sigma_mm``; sharper: 2 x - G(x). Both are clamped to the window.

    Args:
        sigma_mm: standard deviation of the Gaussian; 0.5 mm is about the step from a lung to a standard kernel.

    Raises:
        InputError: for a sigma of 0 or less.
    """

    sigma_mm: float = 0.5

    name = "kernel_stability"
    higher_is_better = True
    units = "Spearman correlation"
    needs = frozenset({"method", "views"})
    reference = "this project"

    def __post_init__(self) -> None:
        if self.sigma_mm <= 0:
            raise InputError(f"expected a Gaussian above 0 mm, found {self.sigma_mm}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        views, images = given(batch.views), batch.images
        low, high = ((end - views.mean) / views.std for end in views.hu_window)
        sigma = self.sigma_mm / batch.mm_per_pixel
        soft = gaussian_blur(images, sigma, max(1, round(4 * sigma)))
        changed = torch.cat([soft, 2 * images - soft]).clamp(low, high)
        maps = batch.explain(changed, batch.target).unflatten(0, (2, -1))
        return torch.stack([spearman(batch.maps.flatten(1), other.flatten(1)) for other in maps]).mean(dim=0)
