"""Volumes that take memory and time only where they are not 0: a map covers a hundredth of its CT."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike


def zeros(shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """An array of zeros in pages of the smallest size, each taken when it is first written.

    ``np.zeros`` asks the kernel for pages of 2 MB, of which one row of a nodule takes a whole one.
    """
    count = math.prod(shape)
    size = max(count * np.dtype(dtype).itemsize, 1)
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return np.zeros(shape, dtype)
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype, count).reshape(shape)


@dataclass(frozen=True, eq=False)
class SparseVolume:
    """A volume that is 0 nearly everywhere, and where it is not.

    Attributes:
        array: [slice, row, column], or with colours after the columns.
        rows: every slice with a value other than 0, and its rows from the first such value to the last.
    """

    array: np.ndarray
    rows: tuple[tuple[int, slice], ...]

    @classmethod
    def of(cls, volume: np.ndarray | SparseVolume) -> SparseVolume:
        """The volume itself, or an array, searched for its content."""
        if isinstance(volume, SparseVolume):
            return volume
        return cls.within(volume, [(slice(0, len(volume)), slice(0, volume.shape[1]))])

    @classmethod
    def within(cls, array: np.ndarray, places: Iterable[tuple[slice, ...]]) -> SparseVolume:
        """An array that is searched for its content in some places only.

        Args:
            array: 0 everywhere else.
            places: slices and rows, each as a ``slice``; columns may follow.
        """
        limits: dict[int, tuple[int, int]] = {}
        for slices, rows, *_ in places:
            for number in range(slices.start, slices.stop):
                first, last = limits.get(number, (rows.start, rows.stop))
                limits[number] = min(first, rows.start), max(last, rows.stop)
        found = []
        for number, (first, last) in sorted(limits.items()):
            part = array[number, first:last]
            filled = np.flatnonzero(part.reshape(len(part), -1).any(axis=1))
            if filled.size:
                found.append((number, slice(first + int(filled[0]), first + int(filled[-1]) + 1)))
        return cls(array, tuple(found))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape

    @property
    def slices(self) -> list[int]:
        """Slices with a value other than 0."""
        return [number for number, _ in self.rows]

    def parts(self) -> Iterator[np.ndarray]:
        """The rows with content, slice by slice."""
        return (self.array[place] for place in self.rows)

    def map(self, function: Callable[[np.ndarray], np.ndarray], dtype: DTypeLike) -> SparseVolume:
        """Apply a function that makes 0 of 0, where the content is."""
        array = zeros(self.array.shape, dtype)
        for place in self.rows:
            array[place] = function(self.array[place])
        return SparseVolume.within(array, [(slice(number, number + 1), rows) for number, rows in self.rows])

    def runs(self) -> Iterator[int | memoryview]:
        """Bytes of the array in its order: the length of each run of zeros, then the content behind it."""
        done = 0
        row_bytes = math.prod(self.array.shape[2:]) * self.array.itemsize
        for number, rows in self.rows:
            start = (number * self.array.shape[1] + rows.start) * row_bytes
            yield start - done
            content = np.ascontiguousarray(self.array[number, rows])
            yield content.data.cast("B")
            done = start + content.nbytes
        yield self.array.nbytes - done
