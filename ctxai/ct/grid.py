"""Voxel grids in patient space (LPS millimetres)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an array are.

    Attributes:
        shape: voxels (slice, row, column).
        affine: 4x4; maps an index (column, row, slice, 1) to LPS mm. Arrays are indexed the other way round,
            [slice, row, column].
    """

    shape: tuple[int, int, int]
    affine: np.ndarray = field(repr=False)

    @classmethod
    def cube(cls, centre_lps: np.ndarray, shape: tuple[int, int, int], spacing_mm: float) -> Grid:
        """A grid about ``centre_lps`` in the patient's axes: slices towards S, rows towards P, columns towards L."""
        extent = (np.array(shape[::-1]) - 1) * spacing_mm
        affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
        affine[:3, 3] = np.asarray(centre_lps, dtype=float) - extent / 2
        return cls((shape[0], shape[1], shape[2]), affine)

    def to_lps(self, index: np.ndarray) -> np.ndarray:
        """LPS mm (..., 3) of continuous indices (..., [column, row, slice])."""
        return np.asarray(index, dtype=float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, lps: np.ndarray) -> np.ndarray:
        """Continuous indices (..., [column, row, slice]) of LPS mm (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(lps, dtype=float) @ inverse[:3, :3].T + inverse[:3, 3]

    def contains(self, lps: np.ndarray) -> np.ndarray:
        """Whether each position (..., 3), LPS mm, lies in a voxel of the grid."""
        index = self.to_index(lps)
        return np.all((index >= -0.5) & (index <= np.array(self.shape[::-1]) - 0.5), axis=-1)

    @property
    def centre(self) -> np.ndarray:
        """LPS mm of the middle of the voxel block."""
        return self.to_lps((np.array(self.shape[::-1]) - 1) / 2)

    @property
    def spacing_mm(self) -> np.ndarray:
        """Distance of neighbouring voxels along (column, row, slice) index."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel, also where the axes are not at right angles."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def normal(self) -> np.ndarray:
        """Unit normal of the image plane: row direction x column direction (DICOM PS3.3 C.7.6.2.1.1)."""
        normal = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        return normal / np.linalg.norm(normal)

    @property
    def slice_distance_mm(self) -> float:
        """Distance of neighbouring slices along the normal of the image plane."""
        return float(abs(self.affine[:3, 2] @ self.normal))

    def crop(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """The grid of ``array[start:start + shape]``; ``start`` as [slice, row, column]."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_lps(np.array(start[::-1]))
        return Grid((shape[0], shape[1], shape[2]), affine)
