"""Shapley values of the image's cells, by regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ctxai.explain.network import Network
from ctxai.explain.pixels import check_count
from ctxai.explain.surrogate import SurrogateAttribution

if TYPE_CHECKING:
    import captum.attr


class KernelSHAP(SurrogateAttribution):
    """KernelSHAP over a grid of cells; hidden cells are set to ``baseline``. Every pixel has its cell's Shapley value.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        n_samples: coalitions run for every image; several for each cell.
        cells: cells along each side (fewer where the image has fewer tokens), each of whole tokens.
        baseline: what hidden pixels are set to, in the images' own (normalised) units.
        seed: of the coalitions.

    Raises:
        InputError: for a number below 1.

    Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017; captum's
    implementation.
    """

    name = "kernel_shap"
    reference = "arXiv:1705.07874"

    def __init__(
        self, model: nn.Module, n_samples: int = 1000, cells: int = 7, baseline: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(model, n_samples, seed)
        check_count("cells", cells)
        self.cells, self.baseline = cells, baseline

    def _explainer(self, score: Callable[[Tensor], Tensor]) -> captum.attr.KernelShap:
        import captum.attr

        return captum.attr.KernelShap(score)

    def _parts(self, image: Tensor, network: Network) -> Tensor:
        size = (image.shape[1], image.shape[2])
        rows, columns = (
            (torch.arange(pixels) * tokens // covered).clamp(max=tokens - 1) * min(self.cells, tokens) // tokens
            for pixels, tokens, covered in zip(size, network.grid, network.covered(size), strict=True)
        )
        return (rows[:, None] * (columns.max() + 1) + columns).to(image.device)

    def _hidden(self, image: Tensor) -> float:
        return self.baseline
