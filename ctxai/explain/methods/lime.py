"""A local linear model over superpixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ctxai.explain.network import Network
from ctxai.explain.pixels import check_count
from ctxai.explain.surrogate import SurrogateAttribution

if TYPE_CHECKING:
    import captum.attr

_KERNEL_WIDTH = 0.25
_COMPACTNESS = 10.0


class LIME(SurrogateAttribution):
    """LIME for images: superpixels, each shown or hidden (set to the image's mean colour) with equal chance.

    A ridge regression over the superpixels, samples weighted by exp(-d^2 / 0.25^2) with d the cosine distance
    to the whole image; every pixel has its superpixel's coefficient. Superpixels are SLIC's.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        n_samples: partly hidden images run for every image; several for each superpixel.
        superpixels: about how many.
        seed: of the draws.

    Raises:
        InputError: for a number below 1.

    Source: Ribeiro, Singh and Guestrin, "Why Should I Trust You?", KDD 2016; captum's implementation.
    """

    name = "lime"
    reference = "arXiv:1602.04938"

    def __init__(self, model: nn.Module, n_samples: int = 1000, superpixels: int = 50, seed: int = 0) -> None:
        super().__init__(model, n_samples, seed)
        check_count("superpixels", superpixels)
        self.superpixels = superpixels

    def _explainer(self, score: Callable[[Tensor], Tensor]) -> captum.attr.Lime:
        import captum.attr
        from captum._utils.models.linear_model import SkLearnRidge

        return captum.attr.Lime(score, SkLearnRidge(alpha=1.0), _similarity)

    def _parts(self, image: Tensor, network: Network) -> Tensor:
        from skimage.segmentation import slic

        coloured = image if len(image) == 3 else image.mean(dim=0).expand(3, -1, -1)
        pixels = coloured.movedim(0, -1).double().cpu().numpy()
        span = pixels.max() - pixels.min()
        pixels = (pixels - pixels.min()) / (span if span > 0 else 1.0)
        parts = slic(pixels, self.superpixels, compactness=_COMPACTNESS, start_label=0, channel_axis=-1)
        return torch.from_numpy(parts).to(image.device)

    def _hidden(self, image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3), keepdim=True).expand_as(image)


def _similarity(image: Tensor, changed: Tensor, shown: Tensor, **unused: Any) -> float:
    """Weight of a sample whose parts ``shown`` (1, parts) are visible."""
    cosine = math.sqrt(float(shown.float().mean()))  # of the 0/1 vector and the vector of ones
    return math.exp(-((1 - cosine) ** 2) / _KERNEL_WIDTH**2)
