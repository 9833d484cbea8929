"""Patches for pretraining: the nodules of a store, and windows at random places of whole CT series."""

from __future__ import annotations

import numpy as np
import torch

from ctxai.ct.patch import extract_patch
from ctxai.ct.series import CTSeries
from ctxai.data.patches import Patches
from ctxai.errors import InputError

_AIR_BELOW_HU = -950
_MOST_AIR = 0.1
_TRIES = 50


class PretrainingPatches:
    """Rows of a store, then windows: ``patches[numbers]`` is int16 (patch, superior, posterior, left).

    Args:
        nodules: patches of the store.
        rows: the rows that are used.
        windows: further patches of the same shape, int16 (window, superior, posterior, left).
    """

    def __init__(self, nodules: Patches, rows: np.ndarray, windows: np.ndarray) -> None:
        self._nodules, self._rows, self._windows = nodules, rows, torch.from_numpy(windows)

    def __len__(self) -> int:
        return len(self._rows) + len(self._windows)

    def __getitem__(self, numbers: np.ndarray) -> torch.Tensor:
        first = numbers < len(self._rows)
        parts = [self._windows[torch.from_numpy(numbers[~first] - len(self._rows))]]
        if first.any():
            parts.append(self._nodules[self._rows[numbers[first]]])
        order = np.argsort(np.concatenate([np.flatnonzero(~first), np.flatnonzero(first)]))
        return torch.cat(parts)[torch.from_numpy(order)]


def random_patches(series: CTSeries, count: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Patches at random places in the body, int16 (count, superior, posterior, left) at 1 mm.

    A place counts as in the body when at most a tenth of the patch is air, which the chest wall and the lungs pass and
    the room about the patient does not. Patches of slices one voxel deep lie on the CT's own slices.

    Args:
        series: the CT.
        count: how many patches.
        shape: voxels (superior, posterior, left).
        seed: of the places; together with the series it decides them.

    Raises:
        InputError: when no place in the body is found.
    """
    generator = np.random.default_rng((seed, int(series.key, 16)))
    patches = np.empty((count, *shape), np.int16)
    last = np.array(series.grid.shape) - 1
    found, tries = 0, 0
    while found < count:
        index = generator.uniform(0, last)
        index[0] = round(index[0])
        patch = extract_patch(series, series.grid.to_lps(index[::-1]), shape)
        tries += 1
        if (patch.hu < _AIR_BELOW_HU).mean() <= _MOST_AIR:
            patches[found] = patch.hu
            found, tries = found + 1, 0
        elif tries == _TRIES * 10:
            raise InputError(f"{series.source_label}: no place in a body was found; give a CT of the chest")
    return patches
