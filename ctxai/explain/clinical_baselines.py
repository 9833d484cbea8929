"""Images without the evidence of a nodule: its surroundings as aerated lung, or the image blurred.

A path method asks how an output grows from such an image to the real one. Black or zero, the usual baselines, are
findings in a lung.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LUNG_HU = (-980.0, -500.0)
"""Aerated lung; above the air around a patient, below soft tissue."""
USUAL_LUNG_HU = -850.0
"""Taken where an image shows hardly any lung."""
BLUR_MM = 6.0
"""Standard deviation of the blur; it levels nodules up to about 15 mm."""

_LEAST_LUNG = 0.01

ClinicalBaseline = Literal["lung", "blur"]


@dataclass(frozen=True)
class ImageScale:
    """Units of standardised images of a CT.

    Attributes:
        hu_mean, hu_std: HU = value * hu_std + hu_mean.
        mm_per_pixel: side of a pixel.
    """

    hu_mean: float
    hu_std: float
    mm_per_pixel: float


def make_clinical_baseline(name: ClinicalBaseline, images: Tensor, scale: ImageScale) -> Tensor:
    """Baseline of ``images`` (N, C, H, W): "lung", the mean HU of each one's own aerated lung everywhere; or "blur"."""
    if name == "blur":
        sigma = BLUR_MM / scale.mm_per_pixel
        return gaussian_blur(images, sigma, round(4 * sigma))
    mean, _ = lung_statistics(images * scale.hu_std + scale.hu_mean)
    return ((mean - scale.hu_mean) / scale.hu_std).expand_as(images)


def lung_statistics(hu: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (N, C, 1, 1) in HU of the aerated lung of images (N, C, H, W) in HU."""
    lung = (hu > LUNG_HU[0]) & (hu < LUNG_HU[1])
    count = lung.sum(dim=(2, 3), keepdim=True)
    mean = hu.where(lung, 0).sum(dim=(2, 3), keepdim=True) / count.clamp(min=1)
    variance = (hu - mean).square().where(lung, 0).sum(dim=(2, 3), keepdim=True) / count.clamp(min=1)
    enough = count >= _LEAST_LUNG * hu.shape[2] * hu.shape[3]
    return mean.where(enough, USUAL_LUNG_HU), variance.sqrt().where(enough, 0.0)


def gaussian_blur(images: Tensor, sigma: float, radius: int) -> Tensor:
    """``images`` (N, C, H, W) under a Gaussian of ``sigma`` pixels, cut off at ``radius``; edges are repeated."""
    along = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = (-0.5 * (along / sigma) ** 2).exp()
    weights = weights / weights.sum()
    flat = images.reshape(-1, 1, *images.shape[2:])
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), weights.view(1, 1, -1, 1))
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), weights.view(1, 1, 1, -1))
    return flat.view(images.shape)
