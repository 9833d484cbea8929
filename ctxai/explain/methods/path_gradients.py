"""Gradients on pixels along paths from clinical baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain.clinical_baselines import ClinicalBaseline, ImageScale
from ctxai.explain.images import image_size
from ctxai.explain.network import Network
from ctxai.explain.path import BASELINES, PathAttribution
from ctxai.explain.pixels import input_gradients
from ctxai.explain.targets import Targets

FADE_MM = 1.5
"""Of the maps of a run that outlines nodules."""

_INSIDE = 0.5  # share of nodule in a pixel; where no pixel has as much, half of the largest share


class PathGradients(PathAttribution):
    """Integrated gradients from the lung's mean HU and from the blurred image, over shifts of the patch and turns.

    (x - x0) times the mean gradient along the path, summed over channels. Such maps are weak and spread far from the
    nodule; for a model that outlines it they can fade there.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        draws: gradients of each baseline; each costs a forward pass, and a backward pass per target.
        baselines: out of "lung" and "blur".
        shift_mm: largest shift along rows and columns.
        turns: 1, or 8 for a model that predicts over an image's quarter turns and mirror images.
        sigma_mm: standard deviation of a Gaussian over each baseline's map; 0 leaves it out.
        fade_mm: the map fades outside the nodule that the model itself outlines, by a Gaussian of the distance with
            this standard deviation; None: it does not.
        hu_mean: HU of a standardised 0.
        hu_std: HU of a standardised step of 1.
        mm_per_pixel: side of a pixel.

    Raises:
        InputError: for options outside their range, or a model without outlines that a map is to fade outside of.

    Source: after Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017; baselines, shifts
    and their joint design are this project's.
    """

    name = "path_gradients"
    reference = "after arXiv:1703.01365, with baselines of CT"

    def __init__(
        self,
        model: nn.Module,
        draws: int = 10,
        baselines: Sequence[ClinicalBaseline] = BASELINES,
        shift_mm: float = 2.0,
        turns: int = 1,
        sigma_mm: float = 0.5,
        fade_mm: float | None = None,
        hu_mean: float = -600.0,
        hu_std: float = 400.0,
        mm_per_pixel: float = 0.5,
    ) -> None:
        super().__init__(model, draws, baselines, shift_mm, turns, sigma_mm, hu_mean, hu_std, mm_per_pixel)
        if fade_mm is not None and not (fade_mm > 0 and getattr(model, "has_outline", False)):
            raise InputError(
                f"expected fade_mm above 0 and a model that outlines nodules, found {fade_mm} and "
                f"{type(model).__name__}; with none maps do not fade"
            )
        self.fade_mm = fade_mm

    @classmethod
    def options_for(cls, scale: ImageScale, turns: int, outlined: bool) -> dict[str, Any]:
        """As `PathAttribution.options_for`; maps of a run that outlines nodules fade outside them."""
        return {**super().options_for(scale, turns, outlined), "fade_mm": FADE_MM if outlined else None}

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        maps = super()._maps(network, images, targets)
        return maps if self.fade_mm is None else maps * self._near_the_nodule(images, self.fade_mm)

    def _near_the_nodule(self, images: Tensor, fade_mm: float) -> Tensor:
        """Weight of each pixel (N, H, W): 1 in the nodule that the model outlines, and falling with the distance."""
        outline = self.model.outline(images)[:, None]  # type: ignore[operator]
        shares = F.interpolate(outline, image_size(images), mode="bilinear")[:, 0]
        inside = shares >= shares.amax(dim=(1, 2), keepdim=True).mul(_INSIDE).clamp(max=_INSIDE)
        distance_mm = np.stack([distance_transform_edt(~one) for one in inside.cpu().numpy()]) * self.mm_per_pixel
        return torch.from_numpy(np.exp(-0.5 * (distance_mm / fade_mm) ** 2)).to(images)

    def _path_maps(
        self, network: Network, images: Tensor, start: Tensor, step: Tensor, targets: Targets, draws: int
    ) -> Tensor:
        gradients = input_gradients(
            lambda batch: targets.scores(network.run(batch), draws), start + step * (images - start)
        )
        return torch.einsum("tmchw,mchw->tmhw", gradients, images - start)
