"""Gradients on pixels along paths from clinical baselines."""

from __future__ import annotations

import torch
from torch import Tensor

from ctxai.explain.network import Network
from ctxai.explain.path import PathAttribution
from ctxai.explain.pixels import input_gradients
from ctxai.explain.targets import Targets


class PathGradients(PathAttribution):
    """Integrated gradients from the lung's mean HU and from the blurred image, over shifts of the patch and turns.

    (x - x0) times the mean gradient along the path, summed over channels.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        draws: gradients of each baseline; each costs a forward pass, and a backward pass per target.
        baselines: out of "lung" and "blur".
        shift_mm: largest shift along rows and columns.
        turns: 1, or 8 for a model that predicts over an image's quarter turns and mirror images.
        sigma_mm: standard deviation of a Gaussian over each baseline's map; 0 leaves it out.
        hu_mean: HU of a standardised 0.
        hu_std: HU of a standardised step of 1.
        mm_per_pixel: side of a pixel.

    Raises:
        InputError: for options outside their range.

    Source: after Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017; baselines, shifts
    and their joint design are this project's.
    """

    name = "path_gradients"
    reference = "after arXiv:1703.01365, with baselines of CT"

    def _path_maps(
        self, network: Network, images: Tensor, start: Tensor, step: Tensor, targets: Targets, draws: int
    ) -> Tensor:
        gradients = input_gradients(
            lambda batch: targets.scores(network.run(batch), draws), start + step * (images - start)
        )
        return torch.einsum("tmchw,mchw->tmhw", gradients, images - start)
