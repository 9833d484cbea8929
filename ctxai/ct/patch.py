"""Isotropic patches in the patient's own axes, cut straight from a series' native grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ctxai.ct.grid import Grid
from ctxai.ct.series import AIR_HU, CTSeries
from ctxai.errors import GeometryError


@dataclass(frozen=True)
class Patch:
    """Voxels about a point.

    Attributes:
        hu: Hounsfield units, int16 (superior, posterior, left).
        valid: where the CT was scanned, bool (superior, posterior, left); the rest of ``hu`` is air.
        grid: where the voxels are; columns run to the patient's left, rows to posterior, slices to superior.
    """

    hu: np.ndarray
    valid: np.ndarray
    grid: Grid


def extract_patch(
    series: CTSeries,
    centre_lps: np.ndarray,
    shape: tuple[int, int, int] = (64, 64, 64),
    spacing_mm: float = 1.0,
) -> Patch:
    """Cut a patch by linear interpolation in patient space; reads only the slices that it touches.

    Args:
        series: the CT.
        centre_lps: centre of the patch, LPS mm.
        shape: voxels (superior, posterior, left).
        spacing_mm: isotropic voxel size.

    Raises:
        GeometryError: when the centre lies outside the CT.
    """
    centre_lps = np.asarray(centre_lps, dtype=float)
    if not series.grid.contains(centre_lps):
        last = np.array(series.grid.shape[::-1]) - 1
        corners = series.grid.to_lps(np.array(list(np.ndindex(2, 2, 2))) * last)
        low, high = corners.min(axis=0), corners.max(axis=0)
        extent = ", ".join(f"{axis} {a:.1f}..{b:.1f}" for axis, a, b in zip("xyz", low, high, strict=True))
        point = ", ".join(f"{value:g}" for value in centre_lps)
        raise GeometryError(f"point ({point}) lies outside the CT ({extent} mm, LPS); points.csv takes LPS millimetres")
    grid = Grid.cube(centre_lps, shape, spacing_mm)
    start, stop = slices_touched(series.grid, grid)
    source = series.grid.crop((start, 0, 0), (stop - start, *series.grid.shape[1:]))
    hu = resample(series.read(start, stop), source, grid, outside=AIR_HU)
    return Patch(np.rint(hu).astype(np.int16), inside(series.grid, grid), grid)


def resample(array: np.ndarray, source: Grid, target: Grid, outside: float = 0.0, nearest: bool = False) -> np.ndarray:
    """Values of ``array`` at the voxel centres of another grid, float32 on ``target``.

    Any affine grids are taken, sheared ones (gantry tilt) included: the interpolation runs in the source's index space.

    Args:
        array: values [slice, row, column] on ``source``.
        source: grid of ``array``.
        target: grid of the result.
        outside: value beyond the source's voxels.
        nearest: nearest neighbour instead of linear interpolation.
    """
    image = sitk.GetImageFromArray(array.astype(np.float32, copy=False))
    index_of = np.linalg.inv(source.affine) @ target.affine  # target index -> source index
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(index_of[:3, :3].ravel().tolist())
    transform.SetTranslation(index_of[:3, 3].tolist())
    resampled = sitk.Resample(
        image,
        [int(n) for n in target.shape[::-1]],
        transform,
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
        np.eye(3).ravel().tolist(),
        float(outside),
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(resampled)


def slices_touched(source: Grid, target: Grid) -> tuple[int, int]:
    """First and one-past-last slice of ``source`` that linear interpolation on ``target`` needs."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(target.shape[::-1]) - 1)
    slices = source.to_index(target.to_lps(corners))[:, 2]
    return max(int(np.floor(slices.min())), 0), min(int(np.ceil(slices.max())) + 1, source.shape[0])


def inside(source: Grid, target: Grid) -> np.ndarray:
    """Which voxel centres of ``target`` lie in a voxel of ``source``, bool [slice, row, column]."""
    index_of = np.linalg.inv(source.affine) @ target.affine
    slices, rows, columns = np.ogrid[tuple(slice(n) for n in target.shape)]
    result = np.ones(target.shape, dtype=bool)
    for axis, count in enumerate(source.shape[::-1]):
        to_column, to_row, to_slice, offset = index_of[axis]
        coordinate = to_column * columns + to_row * rows + to_slice * slices + offset
        result &= (coordinate >= -0.5) & (coordinate <= count - 0.5)
    return result
