"""Thin things (vessels, airways, spicules) as clouds of points, and the share of each voxel that they fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Distance of points inside a tube, mm.
_PITCH = 0.7
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
    result = np.zeros(shape, dtype=np.float32)
    spacing = float(z_mm[-1] - z_mm[0]) / (len(z_mm) - 1) if len(z_mm) > 1 else thickness_mm
    width = max(thickness_mm, spacing)
    index = cloud.points / (pixel_mm, pixel_mm, spacing) - (0, 0, z_mm[0] / spacing)
    reach = int(np.ceil(width / spacing))
    last = (shape[2] - 1, shape[1] - 1, shape[0] - 1 + reach)
    keep = (index >= (0, 0, -reach)).all(axis=1) & (index < last).all(axis=1)
    if not keep.any():
        return result
    index, mass = index[keep], cloud.volume[keep] / (pixel_mm**2 * width)
    base = np.floor(index).astype(int)
    part = (index - base).T
    column, row, depth = base.T
    first_row, first_column = int(row.min()), int(column.min())
    rows, columns = int(row.max()) - first_row + 2, int(column.max()) - first_column + 2
    slices = shape[0] + 4 * reach  # a rim that takes what falls beyond the slices
    place = ((depth + 2 * reach) * rows + row - first_row) * columns + column - first_column
    places, masses = [], []
    for s in range(1 - reach, reach + 1):
        along = mass * np.clip(1 - np.abs(part[2] - s) * (spacing / width), 0, None)
        for r in (0, 1):
            in_row = along * (part[1] if r else 1 - part[1])
            for c in (0, 1):
                places.append(place + ((s * rows + r) * columns + c))
                masses.append(in_row * (part[0] if c else 1 - part[0]))
    size = slices * rows * columns
    filled = np.bincount(np.concatenate(places), np.concatenate(masses), minlength=size)[:size]
    filled = filled.reshape(slices, rows, columns)[2 * reach : 2 * reach + shape[0]]
    box = (slice(None), slice(first_row, first_row + rows), slice(first_column, first_column + columns))
    result[box] = np.minimum(1.08 * filled, 1)
    return result
