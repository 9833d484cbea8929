"""Hand-made measurements of a nodule's look from its voxels and outline alone; no rating enters them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist


class NoduleVoxels:
    """Voxels of one nodule with some lung about it.

    Args:
        hu: Hounsfield units [slice, row, column].
        mask: the readers' consensus, of the same shape.
        spacing_mm: (slice, row, column).
    """

    def __init__(self, hu: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
        self.hu, self.mask, self.spacing = hu.astype(float), mask, spacing_mm
        self.pixel = spacing_mm[1]
        self.distance = _signed(mask, spacing_mm)
        self.area = mask.sum(axis=(1, 2))
        self.middle = np.flatnonzero(self.area >= 0.5 * self.area.max())
        self.flat = np.full(mask.shape, np.inf)  # distance in the plane, in the slices through the middle
        for k in self.middle:
            self.flat[k] = _signed(mask[k], spacing_mm[1:])
        self.radius = (3 * mask.sum() * np.prod(spacing_mm) / (4 * np.pi)) ** (1 / 3)
        self.core = self.distance <= max(-0.35 * self.radius - 0.5 * self.pixel, self.distance.min())
        far = (self.distance > 7) & (self.distance < 12) & (self.hu < -600)
        self.lung_hu = float(np.median(self.hu[far]))
        self.contrast = max(float(self.hu[self.core].mean()) - self.lung_hu, 60.0)

    def texture(self) -> float:
        """How solid the inside is: mean Hounsfield units between ground glass and soft tissue."""
        return float(np.clip(self.hu[self.core], -700, -150).mean())

    def margin(self) -> float:
        """Step across the outline in units of the contrast."""
        inner, outer = self._shell(-1.6, -0.2), self._shell(0.6, 2.0)
        return float((np.median(self.hu[inner]) - np.median(self.hu[outer])) / self.contrast)

    def spiculation(self) -> float:
        """Thin bright things round the nodule, in the lung: median over 12 directions, so that a vessel counts once."""
        blurred = gaussian_filter(self.hu, (0, 2 / self.pixel, 2 / self.pixel))
        thin = np.clip(self.hu - blurred - 40, 0, 250)
        near = (self.flat > 1.2) & (self.flat < 5.5) & (gaussian_filter(self.hu, 3 / self.pixel) < -350)
        _, row, column = (np.argwhere(near) - np.argwhere(self.mask).mean(axis=0)).T
        direction = ((np.arctan2(row, column) / (2 * np.pi) + 0.5) * 12).astype(int) % 12
        count = np.bincount(direction, minlength=12)
        return float(np.median(np.bincount(direction, thin[near], minlength=12)[count > 0] / count[count > 0]))

    def lobulation(self) -> float:
        """How much the edge goes in and out round the nodule: spread over 16 directions of the rim's filling."""
        return float(np.average([self._spread(k) for k in self.middle], weights=self.area[self.middle]))

    def calcification(self) -> float:
        """Share of the nodule above 250 HU, negative because 6 is the rating of no calcification."""
        return -float((self.hu[self.distance < 0.5] > 250).mean())

    def subtlety(self) -> float:
        """How little haze there is about the nodule."""
        shell = self._shell(2.5, 8) & (self.hu < -450)
        return self.lung_hu - float(np.median(self.hu[shell]))

    def diameter(self) -> float:
        """Greatest extent in a slice of what is brighter than half the contrast, mm."""
        widest = max((p for p in self._bright_points()), key=len)
        return self.pixel * float(pdist(_hull(widest)).max()) if len(widest) > 1 else 0.0

    def sphericity(self) -> float:
        """Short over long axis in the slice of the largest outline, each pixel weighted by its brightness."""
        k = int(self.area.argmax())
        near = self.flat[k] < 1.2
        return axis_ratio(np.argwhere(near), np.clip((self.hu[k][near] - self.lung_hu) / self.contrast, 0, 1))

    def _bright_points(self) -> list[np.ndarray]:
        bright = (self.hu > self.lung_hu + 0.5 * self.contrast) & (self.distance < 1.0)
        return [np.argwhere(plane) for plane in bright]

    def _shell(self, low: float, high: float) -> np.ndarray:
        return (self.distance > low) & (self.distance < high)

    def _spread(self, k: int) -> float:
        mask, distance = self.mask[k], self.flat[k]
        radius = np.sqrt(self.area[k] * self.pixel**2 / np.pi)
        band = (distance > -0.7 * radius) & (distance < 0.4)
        filling = np.clip((self.hu[k][band] - self.lung_hu) / self.contrast, 0, 1)
        ring = np.digitize(distance[band], np.linspace(-0.7 * radius, 0.4, 6))
        filling -= (np.bincount(ring, filling) / np.maximum(np.bincount(ring), 1))[ring]
        row, column = (np.argwhere(band) - np.argwhere(mask).mean(axis=0)).T
        direction = ((np.arctan2(row, column) / (2 * np.pi) + 0.5) * 16).astype(int) % 16
        count = np.bincount(direction, minlength=16)
        mean = np.bincount(direction, filling, minlength=16) / np.maximum(count, 1)
        within = ((filling - mean[direction]) ** 2).mean()  # what noise and texture alone would give
        return float((mean**2 * count).sum() / count.sum() - 16 * within / count.sum())


def _signed(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    half = 0.5 * spacing_mm[-1]
    inside, outside = (distance_transform_edt(m, sampling=spacing_mm) for m in (mask, ~mask))
    return np.where(mask, half - inside, outside - half)


def axis_ratio(points: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Short over long axis of a cloud of pixels (pixel, [row, column]); 1 for a disc."""
    short, long = np.linalg.eigvalsh(np.cov(points.T, aweights=weights) + np.eye(2) / 12)
    return float(np.sqrt(short / long))


def _hull(points: np.ndarray) -> np.ndarray:
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all in one line
        return points
