"""Hand-made features of nodules in the outlines that a run itself sees, for a logistic regression beside its pixels.

Shape and HU of a single axial slice, as radiomics takes them in a reader's outline: size, form, HU inside, HU of the
ring around, sharpness of the edge, and texture by grey-level co-occurrence (scikit-image).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_gradient_magnitude
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops
from torch.nn.functional import interpolate

from ctxai.data.auxiliary import consensus, outline_shares
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.views import render_own_views, view_planes
from ctxai.run.recentring import nodule_part
from ctxai.run.run import Run

LEVELS, LOW_HU, HIGH_HU = 16, -1000, 400
TEXTURE = ("contrast", "homogeneity", "energy", "correlation")
RING_MM, EDGE_MM = 3.0, 1.0


def own_masks(run: Run, hu: torch.Tensor, centres_mm: torch.Tensor) -> np.ndarray:
    """The nodule in the central axial images of a run, bool (nodule, pixel row, pixel column).

    Args:
        run: a run that has learnt outlines and reads one axial slice.
        hu: patches, as `Run.outlines`.
        centres_mm: where the images lie, as `Run.recentre` gives it.
    """
    shares = run.outlines(hu, centres_mm)[:, :1]
    fine = interpolate(shares, size=run.views.pixels, mode="bilinear", align_corners=False)[:, 0].numpy()
    pixel_mm = run.views.field_of_view_mm / run.views.pixels
    return np.stack([nodule_part(one, pixel_mm) for one in fine])


def readers_masks(store: NoduleStore, rows: np.ndarray, views: ViewConfig, centres_mm: torch.Tensor) -> torch.Tensor:
    """Where at least half of the readers saw nodule, bool (nodule, pixel row, pixel column), on axial images.

    Args:
        store: nodules with the readers' outlines.
        rows: those of the nodules.
        views: field of view and pixels of the images.
        centres_mm: where the images lie (nodule, 3), from the patches' centres.
    """
    inside = torch.from_numpy(np.stack([consensus(store.agreement(int(row))) for row in rows]))
    planes = view_planes("axial", (0.0,))[0].repeat(len(rows), 1, 1)
    planes[..., 2] += centres_mm
    return outline_shares(inside, planes, views, views.pixels) >= 0.5


def outline_features(run: Run, hu: torch.Tensor, centres_mm: torch.Tensor) -> np.ndarray:
    """Features (nodule, feature) of the nodules in the run's own outlines.

    Args:
        run, hu, centres_mm: as :func:`own_masks`.
    """
    views = run.views
    images = render_own_views(hu, views, (0.0,), centres_mm)[:, 0, 0] * views.std + views.mean
    masks = own_masks(run, hu, centres_mm)
    pixel_mm = views.field_of_view_mm / views.pixels
    return np.array([_features(*pair, pixel_mm) for pair in zip(images.numpy(), masks, strict=True)])


def _features(image: np.ndarray, mask: np.ndarray, pixel_mm: float) -> list[float]:
    """Features of one image (row, column) in HU."""
    shape = regionprops(mask.astype(np.uint8))[0]
    area = shape.area * pixel_mm**2
    perimeter = shape.perimeter * pixel_mm
    ring = binary_dilation(mask, iterations=round(RING_MM / pixel_mm)) & ~mask
    step = round(EDGE_MM / pixel_mm)
    edge = binary_dilation(mask, iterations=step) & ~binary_erosion(mask, iterations=step)
    inside, around = image[mask], image[ring] if ring.any() else image[mask]
    return [
        shape.feret_diameter_max * pixel_mm,
        shape.axis_major_length * pixel_mm,
        shape.axis_minor_length * pixel_mm,
        np.log(area),
        perimeter,
        4 * np.pi * area / max(perimeter, pixel_mm) ** 2,
        shape.eccentricity,
        shape.solidity,
        shape.extent,
        float(inside.mean()),
        float(inside.std()),
        *np.percentile(inside, [5, 50, 95]),
        float(around.mean()),
        float(around.std()),
        float(inside.mean() - around.mean()),
        float(gaussian_gradient_magnitude(image.astype(float), 1.0)[edge].mean()),
        *_texture(image, mask),
    ]


def _texture(image: np.ndarray, mask: np.ndarray) -> list[float]:
    """Grey-level co-occurrence of neighbouring pixels inside a mask, mean of four directions."""
    grey = np.clip((image - LOW_HU) / (HIGH_HU - LOW_HU) * LEVELS, 0, LEVELS - 1).astype(np.uint8) + 1
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    pairs = graycomatrix(np.where(mask, grey, 0), [1], angles, levels=LEVELS + 1, symmetric=True)[1:, 1:]
    pairs = pairs / np.maximum(pairs.sum((0, 1)), 1)
    return [float(graycoprops(pairs, name).mean()) for name in TEXTURE]
