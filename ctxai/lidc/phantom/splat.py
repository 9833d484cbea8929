"""Thin things (vessels, airways, spicules) as clouds of points, and the share of each voxel that they fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Distance of points inside a tube, mm.
_PITCH = 0.5
_GOLDEN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class Cloud:
    """Points that stand for matter: positions (point, [x, y, z]) in mm and the volume of each in mm3."""

    points: np.ndarray
    volume: np.ndarray

    def __add__(self, other: Cloud) -> Cloud:
        return Cloud(np.vstack([self.points, other.points]), np.concatenate([self.volume, other.volume]))


def tubes(centre: np.ndarray, tangent: np.ndarray, radius: np.ndarray, step_mm: np.ndarray) -> Cloud:
    """Fill tubes given by samples along their centre lines.

    Args:
        centre: (sample, [x, y, z]) in mm.
        tangent: (sample, [x, y, z]), of any length but zero.
        radius: (sample,) in mm.
        step_mm: (sample,) length of tube that each sample stands for.
    """
    count = np.maximum(1, np.round(np.pi * (radius / _PITCH) ** 2)).astype(int)
    sample = np.repeat(np.arange(len(centre)), count)
    order = np.arange(len(sample)) - np.repeat(np.cumsum(count) - count, count)
    distance = radius[sample] * np.sqrt((order + 0.5) / count[sample]) * (count[sample] > 1)
    angle = order * _GOLDEN + 2.4 * sample
    length = np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    direction = tangent / length
    helper = np.where(np.abs(direction[:, 2:]) < 0.8, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    side = np.cross(direction, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(direction, side)
    offset = np.cos(angle)[:, None] * side[sample] + np.sin(angle)[:, None] * other[sample]
    volume = (np.pi * radius**2 * step_mm / count)[sample]
    return Cloud(centre[sample] + distance[:, None] * offset, volume)


def share_of_voxels(
    cloud: Cloud, shape: tuple[int, int, int], pixel_mm: float, z_mm: np.ndarray, thickness_mm: float
) -> np.ndarray:
    """Share of each voxel that a cloud fills, float32 [slice, row, column], 0..1.

    Args:
        cloud: points in mm, x and y from the centre of pixel 0.
        shape: slices, rows, columns.
        pixel_mm: distance of pixel centres.
        z_mm: slice positions, ascending and evenly spaced.
        thickness_mm: width at half height of the slices' triangular sensitivity.
    """
    spacing = (z_mm[-1] - z_mm[0]) / (len(z_mm) - 1) if len(z_mm) > 1 else thickness_mm
    width = max(thickness_mm, spacing)
    keep = (cloud.points[:, 2] > z_mm[0] - width) & (cloud.points[:, 2] < z_mm[-1] + width)
    x, y, z = cloud.points[keep].T
    column, row = x / pixel_mm, y / pixel_mm
    depth = (z - z_mm[0]) / spacing
    c0, r0, s0 = (np.floor(value).astype(int) for value in (column, row, depth))
    reach = int(np.ceil(width / spacing))
    per_voxel = cloud.volume[keep] / (pixel_mm**2 * width)
    index, mass = [], []
    for s in range(1 - reach, reach + 1):
        along_z = np.clip(1 - np.abs(depth - s0 - s) * spacing / width, 0, 1) * per_voxel
        for r, along_r in ((0, 1 - (row - r0)), (1, row - r0)):
            for c, along_c in ((0, 1 - (column - c0)), (1, column - c0)):
                k, i, j = s0 + s, r0 + r, c0 + c
                inside = (k >= 0) & (k < shape[0]) & (i >= 0) & (i < shape[1]) & (j >= 0) & (j < shape[2])
                index.append(((k * shape[1] + i) * shape[2] + j)[inside])
                mass.append((along_z * along_r * along_c)[inside])
    filled = np.bincount(np.concatenate(index), np.concatenate(mass), minlength=int(np.prod(shape)))
    return np.minimum(1.08 * filled, 1).astype(np.float32).reshape(shape)
