"""Radiomic features of one axial image in an outline: size, form, HU, sharpness of the edge, and texture.

Shape by scikit-image's `regionprops`, texture by its grey-level co-occurrence (Haralick, Shanmugam and Dinstein 1973,
"Textural features for image classification").
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_gradient_magnitude, zoom

from ctxai.data.views import PATCH_SPACING_MM

_LEVELS, _LOW_HU, _HIGH_HU = 16, -1000, 400
_TEXTURE = ("contrast", "homogeneity", "energy", "correlation")
_RING_MM, _EDGE_MM, _GRADIENT_MM = 3.0, 1.0, 0.5
_FINER = 2  # pixels of an image for each voxel of a patch: a small nodule has few of these

OUTLINE_FEATURES = (
    "feret_diameter_mm",
    "major_axis_mm",
    "minor_axis_mm",
    "log_area_mm2",
    "perimeter_mm",
    "circularity",
    "eccentricity",
    "solidity",
    "extent",
    "mean_hu",
    "std_hu",
    "hu_5_percent",
    "hu_median",
    "hu_95_percent",
    "ring_mean_hu",
    "ring_std_hu",
    "contrast_hu",
    "edge_gradient_hu_per_mm",
    *(f"texture_{name}" for name in _TEXTURE),
)
"""Names of the features, in the order of :func:`outline_features`."""


def outline_features(image_hu: np.ndarray, mask: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Features of one image, float64 (feature,), by the names in `OUTLINE_FEATURES`; NaN without an outline.

    Args:
        image_hu: (row, column), HU.
        mask: the outline's inside, bool (row, column).
        pixel_mm: side of a pixel.
    """
    from skimage.measure import regionprops  # here: explaining does without scikit-image

    if not mask.any():
        return np.full(len(OUTLINE_FEATURES), np.nan)
    shape = regionprops(mask.astype(np.uint8))[0]
    area = shape.area * pixel_mm**2
    perimeter = shape.perimeter * pixel_mm
    ring = binary_dilation(mask, iterations=round(_RING_MM / pixel_mm)) & ~mask
    step = max(1, round(_EDGE_MM / pixel_mm))
    edge = binary_dilation(mask, iterations=step) & ~binary_erosion(mask, iterations=step)
    inside, around = image_hu[mask], image_hu[ring] if ring.any() else image_hu[mask]
    gradient = gaussian_gradient_magnitude(image_hu.astype(float), _GRADIENT_MM / pixel_mm) / pixel_mm
    found = [
        shape.feret_diameter_max * pixel_mm,
        shape.axis_major_length * pixel_mm,
        shape.axis_minor_length * pixel_mm,
        np.log(area),
        perimeter,
        4 * np.pi * area / max(perimeter, pixel_mm) ** 2,
        shape.eccentricity,
        shape.solidity,
        shape.extent,
        inside.mean(),
        inside.std(),
        *np.percentile(inside, [5, 50, 95]),
        around.mean(),
        around.std(),
        inside.mean() - around.mean(),
        gradient[edge].mean(),
        *_texture(image_hu, mask),
    ]
    return np.array(found, dtype=np.float64)


def nodule_features(hu: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Features (feature,) of a nodule on the axial slice where its outline is largest.

    Args:
        hu: patch (superior, posterior, left) at 1 mm, HU.
        inside: the outline's inside, bool of the same shape.
    """
    largest = int(inside.sum((1, 2)).argmax())
    image, mask = (
        zoom(one[largest].astype(np.float32), _FINER, order=1, mode="nearest", grid_mode=True) for one in (hu, inside)
    )
    return outline_features(image, mask >= 0.5, PATCH_SPACING_MM / _FINER)


def normal_scores(features: np.ndarray) -> np.ndarray:
    """Features (row, feature) as normal scores of their ranks among the rows (van der Waerden), float32; NaN stays."""
    from scipy.stats import norm, rankdata  # here: explaining does without SciPy's statistics

    known = ~np.isnan(features)
    ranks = rankdata(features, axis=0, nan_policy="omit")
    return np.where(known, norm.ppf(ranks / (known.sum(0) + 1)), np.nan).astype(np.float32)


def _texture(image_hu: np.ndarray, mask: np.ndarray) -> list[float]:
    """Grey-level co-occurrence of neighbouring pixels inside a mask, mean of four directions."""
    from skimage.feature import graycomatrix, graycoprops

    grey = np.clip((image_hu - _LOW_HU) / (_HIGH_HU - _LOW_HU) * _LEVELS, 0, _LEVELS - 1).astype(np.uint8) + 1
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    pairs = graycomatrix(np.where(mask, grey, 0), [1], angles, levels=_LEVELS + 1, symmetric=True)[1:, 1:]
    pairs = pairs / np.maximum(pairs.sum((0, 1)), 1)
    return [float(graycoprops(pairs, name).mean()) for name in _TEXTURE]
