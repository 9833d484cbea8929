"""Perturbation baselines: replacements of removed pixels.

The output of a model without some pixels depends on what replaces them: a black hole
in a lung is itself a finding. So fills for CT are made in Hounsfield units and look like lung, the published ones stay
for comparison, and a result always names its fill.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.explain.clinical_baselines import BLUR_MM, gaussian_blur, lung_statistics

_PUBLISHED_PIXELS = 224
_Fill = Callable[[Tensor, ViewConfig | None, int], Tensor]


def make_fill(name: str, images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    """Fill of ``images`` (N, C, H, W), preprocessed; of the same shape and in the same units.

    In HU: ``lung_mean``, the mean of the image's own aerated lung; ``blur``, Gaussian of 6 mm; ``noise``, Gaussian with
    the mean and standard deviation of the image's own lung. Published: ``black`` (the window's lower end; Chefer),
    ``zero`` (0 after preprocessing; AGCAM, RISE), ``image_mean`` (each channel's; CDAM), ``blur_14`` (Gaussian of 14
    pixels in an image 224 wide, other widths in proportion; CDAM), ``blur_rise`` (Gaussian of 5 pixels on 11 x 11, in
    proportion likewise; RISE), ``uniform`` (uniform over the window; Samek, DiffMask). Random fills are the same field
    of draws for every image.

    Raises:
        InputError: for another name, or without the views that a fill in HU needs.
    """
    if name not in FILLS:
        raise InputError(f"expected a fill, found {name!r}; known: {', '.join(FILLS)}")
    return FILLS[name](images, views, seed).to(images.dtype)


def _hu(images: Tensor, views: ViewConfig | None) -> tuple[Tensor, ViewConfig]:
    if views is None:
        free = "zero, image_mean, blur_14, blur_rise"
        raise InputError(
            f"a fill in HU needs the run's views, found none; give ExplanationBatch(views=...), or fill: {free}"
        )
    return images * views.std + views.mean, views


def _lung(images: Tensor, views: ViewConfig | None) -> tuple[Tensor, Tensor, ViewConfig]:
    """Mean and standard deviation (N, C, 1, 1) in HU of each image's aerated lung."""
    hu, views = _hu(images, views)
    return *lung_statistics(hu), views


def _standardised(hu: Tensor, views: ViewConfig) -> Tensor:
    return (hu - views.mean) / views.std


def _lung_mean(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    mean, _, views = _lung(images, views)
    return _standardised(mean, views).expand_as(images)


def _noise(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    mean, std, views = _lung(images, views)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(images.shape[2:], generator=generator).to(images)
    return _standardised((mean + std * draws).clamp(*views.hu_window), views)


def _blur(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    _, views = _hu(images, views)
    sigma = BLUR_MM / views.field_of_view_mm * images.shape[3]
    return gaussian_blur(images, sigma, round(4 * sigma))


def _black(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    hu, views = _hu(images, views)
    return _standardised(torch.full_like(hu, views.hu_window[0]), views)


def _uniform(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    _, views = _hu(images, views)
    low, high = views.hu_window
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(images.shape[2:], generator=generator).to(images)
    return _standardised(low + (high - low) * draws, views).expand_as(images)


def _zero(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    return torch.zeros_like(images)


def _image_mean(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    return images.mean(dim=(2, 3), keepdim=True).expand_as(images)


def _blur_14(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    sigma = 14 * images.shape[3] / _PUBLISHED_PIXELS
    return gaussian_blur(images, sigma, round(4 * sigma))


def _blur_rise(images: Tensor, views: ViewConfig | None, seed: int) -> Tensor:
    scale = images.shape[3] / _PUBLISHED_PIXELS
    return gaussian_blur(images, 5 * scale, max(1, round(5 * scale)))


FILLS: dict[str, _Fill] = {
    "lung_mean": _lung_mean,
    "blur": _blur,
    "noise": _noise,
    "black": _black,
    "zero": _zero,
    "image_mean": _image_mean,
    "blur_14": _blur_14,
    "blur_rise": _blur_rise,
    "uniform": _uniform,
}
