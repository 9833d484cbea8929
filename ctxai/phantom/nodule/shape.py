"""Where a nodule is: signed distance to its outline, and directions from its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import Nodule

_PAD_MM = 13.0


@dataclass(frozen=True)
class Shape:
    """Signed distance to an outline on a box of voxels, and directions from its middle.

    Arrays are [slice, row, column].

    Attributes:
        start: first voxel of the box in the image.
        spacing: mm of a voxel.
        distance: mm, negative inside.
        direction: unit vectors from the middle, (x, y, z) first.
        from_centre: mm from the middle.
        radius: mm, of the ball of the same volume.
        centre: the middle, in voxels of the box.
    """

    start: tuple[int, int, int]
    spacing: tuple[float, float, float]
    distance: np.ndarray
    direction: np.ndarray
    from_centre: np.ndarray
    radius: float
    centre: np.ndarray

    @classmethod
    def of_distance(
        cls, start: tuple[int, int, int], spacing: tuple[float, float, float], distance: np.ndarray
    ) -> Shape:
        """The shape inside which ``distance`` (mm) is negative; without any such voxel, the ones of least distance."""
        inside = distance < 0
        if not inside.any():
            inside = distance <= distance.min()
        centre = np.argwhere(inside).mean(axis=0)
        radius = max(1.2, (3 * inside.sum() * spacing[0] * spacing[1] ** 2 / (4 * np.pi)) ** (1 / 3))
        offset = np.indices(distance.shape) - centre[:, None, None, None]
        offset = offset[::-1] * np.array(spacing)[::-1, None, None, None]
        from_centre = np.sqrt((offset**2).sum(axis=0)) + 1e-6
        return cls(start, spacing, distance, offset / from_centre, from_centre, radius, centre)

    @classmethod
    def of_nodule(cls, nodule: Nodule, z_mm: np.ndarray, spacing: float, pixel: float, rows: int) -> Shape | None:
        """The majority of the readers' outlines, by the median of their signed distances, on a padded box.

        None where the slices ``z_mm``, ``spacing`` mm apart, do not reach the nodule.
        """
        z = [contour.z_mm for reading in nodule.readings for contour in reading.contours]
        if max(z) < z_mm[0] - 0.5 * spacing or min(z) > z_mm[-1] + 0.5 * spacing:
            return None
        masks = reader_masks(nodule, z_mm)
        pad = np.array([round(_PAD_MM / spacing), *[round(_PAD_MM / pixel)] * 2])
        low = np.array(masks.start) - pad
        high = np.array(masks.start) + masks.masks.shape[1:] + pad
        size = (spacing, pixel, pixel)
        distances = [_signed_distance(np.pad(mask, [(p, p) for p in pad]), size) for mask in masks.masks if mask.any()]
        if not distances:
            distances = [_signed_distance(np.pad(masks.masks.any(0) | True, [(p, p) for p in pad]), size)]
        shape = cls.of_distance((0, 0, 0), size, gaussian_filter(np.median(distances, axis=0), (0, 0.6, 0.6)))
        first = np.maximum(-low, 0)
        last = shape.distance.shape - np.maximum(high - [len(z_mm), rows, rows], 0)
        start = low + first
        keep = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        return cls(
            (int(start[0]), int(start[1]), int(start[2])),
            size,
            shape.distance[keep],
            shape.direction[(slice(None), *keep)],
            shape.from_centre[keep],
            shape.radius,
            shape.centre - first,
        )

    @property
    def off_centre(self) -> np.ndarray:
        """Distance from a point beside the middle, in radii."""
        x, y, _ = self.direction * self.from_centre / self.radius
        return np.hypot(x - 0.2, y + 0.15)


def _signed_distance(mask: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    half = 0.5 * size[1]
    return np.where(
        mask, half - distance_transform_edt(mask, sampling=size), distance_transform_edt(~mask, sampling=size) - half
    )
