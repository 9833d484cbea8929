"""Random parts of a training image replaced, so that images with parts removed are nothing new to the model."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, zoom

from ctxai.data.settings import EraseConfig
from ctxai.data.views import ViewConfig

_LUNG_HU = (-980.0, -500.0)
_TYPICAL_LUNG_HU = -850.0
_LEAST_LUNG = 0.01  # of the image, below which its mean is no estimate
_BLUR_MM = 6.0  # standard deviation of the fill `blur`
_CELLS = (16, 8, 8)  # random numbers along a side: fine blocks, coarse blocks, blobs


def erase(
    generator: np.random.Generator, image_hu: torch.Tensor, config: EraseConfig, views: ViewConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """One image (H, W) in clamped HU with a random part replaced or as it was, and the removed part, bool (H, W)."""
    chosen, kind = generator.uniform() < config.share, int(generator.integers(len(_CELLS)))
    fill, part = str(generator.choice(config.fills)), config.most * generator.uniform()
    cells = generator.uniform(size=(_CELLS[kind], _CELLS[kind]))
    if not chosen:
        return image_hu, torch.zeros_like(image_hu, dtype=torch.bool)
    image = image_hu.numpy()
    order = 3 if kind == len(_CELLS) - 1 else 0
    heights = zoom(cells, [side / _CELLS[kind] for side in image.shape], order=order, mode="nearest", grid_mode=True)
    gone = heights <= np.quantile(heights, part)
    replacement = _blurred(image, views) if fill == "blur" else lung_mean(image)
    return torch.from_numpy(np.where(gone, replacement, image).astype(np.float32)), torch.from_numpy(gone)


def lung_mean(image_hu: np.ndarray) -> float:
    """Mean HU of the aerated lung in an image; -850 HU where there is hardly any."""
    lung = (image_hu > _LUNG_HU[0]) & (image_hu < _LUNG_HU[1])
    return float(image_hu[lung].mean()) if lung.mean() >= _LEAST_LUNG else _TYPICAL_LUNG_HU


def _blurred(image_hu: np.ndarray, views: ViewConfig) -> np.ndarray:
    return gaussian_filter(image_hu, _BLUR_MM * views.pixels / views.field_of_view_mm, mode="nearest")
