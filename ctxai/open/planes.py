"""The voxels of a CT turned as radiologists look at them, read slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.ct.pixels import AIR_HU, hounsfield
from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT

#: Names of the planes by the axis of :attr:`Planes.volume` that they are cut across.
PLANES = ("axial", "coronal", "sagittal")
#: LPS components that the axes of the turned volume come nearest to: slices to superior, rows to posterior, columns
#: to the left.
_TOWARDS = (2, 1, 0)


class Planes:
    """A CT on its own grid, axes flipped and swapped until they run to superior, posterior and left; nothing resampled.

    An oblique scan stays in its own planes.

    Args:
        series: the CT. Of a DICOM series, each slice is read when it is first needed.

    Attributes:
        volume: int16 HU (superior, posterior, left); air where nothing has been read yet.
        grid: where its voxels are.
    """

    def __init__(self, series: CT) -> None:
        self._series = series
        self._axes, self._flipped = _turn(series.grid)
        self._native = np.full(series.grid.shape, AIR_HU, np.int16) if isinstance(series, CTSeries) else series.hu
        self._read = np.full(series.grid.shape[0], not isinstance(series, CTSeries))
        self.volume = self._turned(self._native)
        self.grid = Grid(self.volume.shape, series.grid.affine @ self._index_map(series.grid.shape))

    @property
    def share_read(self) -> float:
        """Share of the slices that are in memory."""
        return float(self._read.mean())

    def fill(self) -> Iterator[None]:
        """Read every slice, from the middle outwards; yields after each.

        Raises:
            InputError: when an image cannot be decoded.
        """
        count = len(self._read)
        for number in sorted(range(count), key=lambda one: abs(one - count // 2)):
            self._fetch(number)
            yield

    def plane(self, name: str, index: int) -> np.ndarray:
        """One plane, int16 HU, C order; sagittal and coronal planes are upright and show what has been read.

        Args:
            name: out of :data:`PLANES`.
            index: along the plane's own axis of :attr:`volume`.

        Raises:
            IndexError: outside of the volume.
            InputError: when the image cannot be decoded.
        """
        axis = PLANES.index(name)
        if not 0 <= index < self.volume.shape[axis]:
            raise IndexError(index)
        if self._axes[axis] == 0:
            self._fetch(len(self._read) - 1 - index if self._flipped[axis] else index)
        plane = np.take(self.volume, index, axis=axis)
        return np.ascontiguousarray(plane if name == "axial" else plane[::-1])

    def block(self, start: tuple[int, int, int], values: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
        """A part of the CT in the turned axes.

        Args:
            start: its first voxel in the CT, [slice, row, column].
            values: [slice, row, column].

        Returns:
            First voxel and values, (superior, posterior, left).
        """
        turned = self._turned(values)
        first = []
        for place, (axis, flipped) in enumerate(zip(self._axes, self._flipped, strict=True)):
            end = start[axis] + values.shape[axis]
            first.append(self.volume.shape[place] - end if flipped else start[axis])
        return tuple(first), np.ascontiguousarray(turned)

    def _fetch(self, number: int) -> None:
        if not self._read[number] and isinstance(self._series, CTSeries):
            self._native[number] = hounsfield(self._series.headers[number])[0]
            self._read[number] = True

    def _turned(self, array: np.ndarray) -> np.ndarray:
        turned = np.transpose(array, self._axes)
        return turned[tuple(slice(None, None, -1 if flipped else 1) for flipped in self._flipped)]

    def _index_map(self, shape: tuple[int, ...]) -> np.ndarray:
        """4x4: from (column, row, slice, 1) of the turned volume to that of the CT."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for place, (axis, flipped) in enumerate(zip(self._axes, self._flipped, strict=True)):
            matrix[2 - axis, 2 - place] = -1 if flipped else 1
            matrix[2 - axis, 3] = shape[axis] - 1 if flipped else 0
        return matrix


def _turn(grid: Grid) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Array axes [slice, row, column] in the order superior, posterior, left, and which of them run the other way."""
    directions = (grid.affine[:3, :3] / grid.spacing_mm)[:, ::-1]  # of the array's axes, LPS
    best: Any = max(
        permutations(range(3)),
        key=lambda axes: sum(abs(directions[lps, axis]) for lps, axis in zip(_TOWARDS, axes, strict=True)),
    )
    flipped = tuple(bool(directions[lps, axis] < 0) for lps, axis in zip(_TOWARDS, best, strict=True))
    return tuple(best), flipped
