"""Volumes that take memory only where they are not 0: a map covers a hundredth of its CT."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence

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


def content_rows(volume: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Every slice with a value other than 0, and its rows from the first such value to the last.

    Args:
        volume: [slice, row, column].
    """
    for number, plane in enumerate(volume):
        rows = np.flatnonzero(plane.any(axis=1))
        if rows.size:
            yield number, slice(int(rows[0]), int(rows[-1]) + 1)
