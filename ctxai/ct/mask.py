"""Voxel masks in patient space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import ConvexHull

from ctxai.ct.grid import Grid


@dataclass(frozen=True, eq=False)
class VoxelMask:
    """A nodule as voxels on a grid of its own, which may be cropped to it.

    Attributes:
        voxels: bool [slice, row, column], at least one true.
        grid: where they are.
    """

    voxels: np.ndarray
    grid: Grid

    @property
    def centre_lps(self) -> np.ndarray:
        """Centre of the bounding box, LPS mm."""
        where = np.argwhere(self.voxels)
        return self.grid.to_lps(((where.min(axis=0) + where.max(axis=0)) / 2)[::-1])

    @property
    def diameter_mm(self) -> float:
        """Greatest distance across one slice of the grid, from pixel edge to pixel edge; LIDC measures likewise."""
        longest = 0.0
        for plane in self.voxels:
            rim = np.argwhere(plane & ~binary_erosion(plane))[:, ::-1] * self.grid.spacing_mm[:2]
            if len(rim):
                hull = rim if len(rim) < 4 or np.ptp(rim, axis=0).min() == 0 else rim[ConvexHull(rim).vertices]
                longest = max(longest, float(np.linalg.norm(hull[:, None] - hull, axis=-1).max()))
        return longest + float(self.grid.spacing_mm[:2].mean())
