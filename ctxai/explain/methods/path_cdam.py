"""CDAM along paths from clinical baselines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctxai.explain.base import check_block
from ctxai.explain.clinical_baselines import ClinicalBaseline
from ctxai.explain.images import image_size
from ctxai.explain.network import Network
from ctxai.explain.path import BASELINES, PathAttribution
from ctxai.explain.targets import Targets
from ctxai.explain.token_grid import place_on_image
from ctxai.explain.trace import trace


class PathCDAM(PathAttribution):
    """CDAM along a path: the change of a block's normalised tokens from x0 to x times the mean gradient between.

    m_i = sum_j (T_ij(x) - T_ij(x0)) * mean over the path of dy / dT_ij. At the last block it is a CDAM with a baseline;
    at the first it has seen no exchange between patches.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        block: which block's tokens; negative counts from the end.
        draws: gradients of each baseline; each costs three forward passes, and a backward pass per target.
        baselines: out of "lung" and "blur".
        shift_mm: largest shift along rows and columns.
        turns: 1, or 8 for a model that predicts over an image's quarter turns and mirror images.
        sigma_mm: standard deviation of a Gaussian over each baseline's map; 0 leaves it out.
        hu_mean: HU of a standardised 0.
        hu_std: HU of a standardised step of 1.
        mm_per_pixel: side of a pixel.

    Raises:
        InputError: for options outside their range, or a block that the model has not.

    Source: CDAM: Brocki, Binda and Chung, TMLR 2024; path, baselines and shifts are this project's.
    """

    name = "path_cdam"
    needs = frozenset({"attention", "gradients"})
    reference = "after arXiv:2312.02364 and arXiv:1703.01365"

    def __init__(
        self,
        model: nn.Module,
        block: int = -1,
        draws: int = 10,
        baselines: Sequence[ClinicalBaseline] = BASELINES,
        shift_mm: float = 2.0,
        turns: int = 1,
        sigma_mm: float = 0.5,
        hu_mean: float = -600.0,
        hu_std: float = 400.0,
        mm_per_pixel: float = 0.5,
    ) -> None:
        super().__init__(model, draws, baselines, shift_mm, turns, sigma_mm, hu_mean, hu_std, mm_per_pixel)
        check_block(self.model, block)
        self.block = block

    def _path_maps(
        self, network: Network, images: Tensor, start: Tensor, step: Tensor, targets: Targets, draws: int
    ) -> Tensor:
        ends = [trace(network, end, self.block).blocks[0].normed for end in (images, start)]
        traced = trace(network, start + step * (images - start), self.block, gradients=True)
        with torch.enable_grad():
            explained = targets.scores(traced.readout, draws)
        change = ends[0] - ends[1]
        size = image_size(images)
        per_target = [
            traced.to_map((change * gradient).sum(dim=-1))
            for (gradient,) in traced.gradients(explained, [traced.blocks[0].normed])
        ]
        return place_on_image(torch.stack(per_target), network.covered(size), size, "nearest-exact")
