"""Patches of a store as tensors, held in memory while they are few."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ctxai.data.store import NoduleStore
from ctxai.data.views import PATCH_SPACING_MM
from ctxai.errors import StoreError

AIR_HU = -1024
MEMORY_LIMIT_BYTES = 4 * 1024**3


def read_patch(store: NoduleStore, row: int, beyond: Literal["air", "nearest"] = "air") -> np.ndarray:
    """HU of one nodule, int16 (superior, posterior, left), with air or the nearest voxel where nothing was scanned."""
    hu = store.hu(row)
    valid = store.valid(row)
    if valid.all():
        return hu
    if beyond == "nearest" and valid.any():
        nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
        return hu[tuple(nearest)]
    return np.where(valid, hu, np.int16(AIR_HU))


class Patches:
    """Rows of a store, by row number: ``patches[rows]`` is int16 (row, superior, posterior, left).

    Args:
        store: the store to read.
        rows: the only rows that will be asked for.
        memory_limit_bytes: above this size the patches are read when asked for.
        beyond: what stands where nothing was scanned.

    Raises:
        StoreError: when the voxels are not 1 mm wide.
    """

    def __init__(
        self,
        store: NoduleStore,
        rows: Sequence[int] | np.ndarray,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
        beyond: Literal["air", "nearest"] = "air",
    ) -> None:
        if store.spacing_mm != PATCH_SPACING_MM:
            raise StoreError(
                f"{store.path}: patches at {store.spacing_mm} mm, expected {PATCH_SPACING_MM} mm; ingest again"
            )
        self._store, self._beyond = store, beyond
        self._place = {int(row): place for place, row in enumerate(rows)}
        size = len(rows) * int(np.prod(store.patch_shape)) * np.dtype(np.int16).itemsize
        self._memory: torch.Tensor | None = None
        if 0 < size <= memory_limit_bytes:
            self._memory = torch.empty((len(rows), *store.patch_shape), dtype=torch.int16)
            with ThreadPoolExecutor(4) as pool:
                for place, patch in enumerate(pool.map(lambda row: read_patch(store, int(row), beyond), rows)):
                    self._memory[place] = torch.from_numpy(patch)

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        if self._memory is not None:
            return self._memory[[self._place[int(row)] for row in rows]]
        return torch.from_numpy(np.stack([read_patch(self._store, int(row), self._beyond) for row in rows]))
