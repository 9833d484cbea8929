"""Isotropic patches in the patient's own axes, cut straight from a series' native grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from ctxai.ct.geometry import Fault, GeometryReport, GeometryRules
from ctxai.ct.grid import Grid
from ctxai.ct.point_diagnostics import extent, suggest_coordinate_fix
from ctxai.ct.series import AIR_HU
from ctxai.errors import GeometryError


class Volume(Protocol):
    """A CT whose slices are read on demand: a :class:`ctxai.ct.series.CTSeries` or a MetaImage."""

    grid: Grid
    slice_coordinates: np.ndarray
    rules: GeometryRules
    report: GeometryReport
    pixel_faults: dict[Fault, str]

    @property
    def regular(self) -> bool:
        """Whether slice k lies at index k of the grid."""

    @property
    def manufacturer(self) -> str:
        """Manufacturer of the scanner, where it is known."""

    @property
    def slice_thickness_mm(self) -> float | None:
        """SliceThickness, where it is known."""

    @property
    def slice_z_mm(self) -> np.ndarray:
        """z (LPS mm) of the first voxel of each slice."""

    def read(self, start: int = 0, stop: int | None = None, window: tuple[slice, slice] | None = None) -> np.ndarray:
        """Hounsfield units of some slices, int16 [slice, row, column]."""


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
    series: Volume,
    centre_lps: np.ndarray,
    shape: tuple[int, int, int] = (64, 64, 64),
    spacing_mm: float = 1.0,
) -> Patch:
    """Cut a patch by linear interpolation in patient space; reads only the slices that it touches.

    Where a series was repaired, the interpolation runs between the slices' true positions.

    Args:
        series: the CT.
        centre_lps: centre of the patch, LPS mm.
        shape: voxels (superior, posterior, left).
        spacing_mm: isotropic voxel size.

    Raises:
        GeometryError: when the centre lies outside the CT, or the patch touches a wider gap than the series' rules
            allow.
    """
    centre_lps = np.asarray(centre_lps, dtype=float)
    if not series.grid.contains(centre_lps):
        point = ", ".join(f"{value:g}" for value in centre_lps)
        raise GeometryError(
            f"point ({point}) lies outside the CT ({extent(series.grid)}); "
            f"{suggest_coordinate_fix(series.grid, centre_lps)}"
        )
    grid = Grid.cube(centre_lps, shape, spacing_mm)
    start, stop = slices_touched(series.grid, grid, series.slice_coordinates)
    _refuse_wide_gap(series, start, stop)
    rows, columns = _window(series.grid, grid)
    slab = series.read(start, stop, (rows, columns))
    corner = (rows.start, columns.start)
    if series.regular:
        hu = resample(slab, series.grid.crop((start, *corner), slab.shape), grid, outside=AIR_HU)
    else:
        source = series.grid.crop((0, *corner), (series.grid.shape[0], *slab.shape[1:]))
        hu = resample_between(slab, source, series.slice_coordinates[start:stop], grid, outside=AIR_HU)
    return Patch(np.rint(hu).astype(np.int16), inside(series.grid, grid, series.slice_coordinates), grid)


def _refuse_wide_gap(series: Volume, start: int, stop: int) -> None:
    slice_coordinates = series.slice_coordinates[start:stop]
    gaps = np.diff(slice_coordinates)
    wide = (gaps > 1.5) & (gaps * series.grid.slice_distance_mm > series.rules.max_gap_mm)
    if wide.any():
        widest = float(gaps.max() * series.grid.slice_distance_mm)
        raise GeometryError(
            f"{Fault.MISSING_SLICE}: the patch touches a gap of {widest:g} mm, at most {series.rules.max_gap_mm:g} mm "
            "are bridged (max_gap_mm)"
        )


def resample(array: np.ndarray, source: Grid, target: Grid, outside: float = 0.0, nearest: bool = False) -> np.ndarray:
    """Values of ``array`` at the voxel centres of another grid, float32 on ``target``.

    Any affine grids are taken, sheared ones (gantry tilt) included: the interpolation runs in the source's index space.

    Args:
        array: values [slice, row, column] on ``source``, or several [slice, row, column, component].
        source: grid of ``array``.
        target: grid of the result.
        outside: value beyond the source's voxels.
        nearest: nearest neighbour instead of linear interpolation.
    """
    image = sitk.GetImageFromArray(array.astype(np.float32, copy=False), isVector=array.ndim == 4)
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
        sitk.sitkVectorFloat32 if array.ndim == 4 else sitk.sitkFloat32,
    )
    values = sitk.GetArrayFromImage(resampled)
    return values.reshape(*target.shape, *array.shape[3:])  # SimpleITK drops an axis of one component


def resample_between(
    array: np.ndarray, source: Grid, slice_coordinates: np.ndarray, target: Grid, outside: float = 0.0
) -> np.ndarray:
    """Like :func:`resample`, linearly, for slices that are not evenly spaced.

    Args:
        array: values [slice, row, column].
        source: a grid with the rows and columns of ``array``.
        slice_coordinates: index of each slice of ``array`` on the slice axis of ``source``, ascending.
        target: grid of the result.
        outside: value beyond the source: more than half a voxel from its outermost ones.
    """
    axes = _coordinates(source, target)
    counted = np.interp(axes[0], slice_coordinates, np.arange(len(slice_coordinates)))
    coordinates = np.broadcast_arrays(counted, *axes[1:])
    result = map_coordinates(array.astype(np.float32, copy=False), coordinates, order=1, mode="nearest")
    result[~_within(axes, array.shape, slice_coordinates)] = outside
    return result


def slices_touched(source: Grid, target: Grid, slice_coordinates: np.ndarray | None = None) -> tuple[int, int]:
    """First and one-past-last slice of ``source`` that linear interpolation on ``target`` needs.

    Args:
        source: grid of the series.
        target: grid of the patch.
        slice_coordinates: slice_coordinates of the slices on the slice axis of ``source``; by default 0, 1, 2 …
    """
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(target.shape[::-1]) - 1)
    reached = source.to_index(target.to_lps(corners))[:, 2]
    slice_coordinates = np.arange(source.shape[0]) if slice_coordinates is None else slice_coordinates
    first = np.searchsorted(slice_coordinates, reached.min(), side="right") - 1
    last = np.searchsorted(slice_coordinates, reached.max(), side="left")
    return max(int(first), 0), min(int(last) + 1, len(slice_coordinates))


def _window(source: Grid, target: Grid) -> tuple[slice, slice]:
    """Rows and columns of ``source`` that linear interpolation on ``target`` needs; never none."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(target.shape[::-1]) - 1)
    index = source.to_index(target.to_lps(corners))[:, 1::-1]
    shape = np.array(source.shape[1:])
    first = np.clip(np.floor(index.min(axis=0)).astype(int) - 1, 0, shape - 1)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int) + 2, first + 1, shape)
    return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def inside(source: Grid, target: Grid, slice_coordinates: np.ndarray | None = None) -> np.ndarray:
    """Which voxel centres of ``target`` lie in a voxel of ``source``, bool [slice, row, column].

    Args:
        source: grid of the series.
        target: grid of the patch.
        slice_coordinates: slice_coordinates of the slices on the slice axis of ``source``; by default 0, 1, 2 …
    """
    slice_coordinates = np.arange(source.shape[0]) if slice_coordinates is None else slice_coordinates
    return _within(_coordinates(source, target), source.shape, slice_coordinates)


def _within(axes: list[np.ndarray], shape: tuple[int, ...], slice_coordinates: np.ndarray) -> np.ndarray:
    slices, rows, columns = axes
    return (
        (slices >= slice_coordinates[0] - 0.5)
        & (slices <= slice_coordinates[-1] + 0.5)
        & (rows >= -0.5)
        & (rows <= shape[1] - 0.5)
        & (columns >= -0.5)
        & (columns <= shape[2] - 0.5)
    )


def _coordinates(source: Grid, target: Grid) -> list[np.ndarray]:
    """Place of every voxel centre of ``target`` on the slice, row and column axis of ``source``.

    Each array can be broadcast to the target's shape; where the axes of both grids are parallel, it stays a line.
    """
    index_of = np.linalg.inv(source.affine) @ target.affine
    axes = np.ogrid[tuple(slice(n) for n in target.shape)][::-1]
    return [
        row[3] + sum(factor * axis for factor, axis in zip(row[:3], axes, strict=True) if factor != 0)
        for row in index_of[2::-1]
    ]
