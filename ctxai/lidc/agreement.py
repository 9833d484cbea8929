"""Readers' agreement on another grid than the CT's own, such as that of a patch."""

from __future__ import annotations

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.ct.mask import VoxelMask
from ctxai.ct.patch import resample, resample_between
from ctxai.lidc.consensus import ReaderMasks


def agreement_on(
    masks: ReaderMasks, source: Grid, target: Grid, slice_coordinates: np.ndarray | None = None
) -> np.ndarray:
    """How many readers include each voxel of ``target``, uint8 (superior, posterior, left).

    Each reader's mask on the CT's grid (``source``) is interpolated linearly and cut at one half.

    Args:
        masks: the readers' masks.
        source: grid of the CT.
        target: grid of the patch.
        slice_coordinates: index of every slice of the CT on the slice axis of ``source``; by default 0, 1, 2 …
    """
    padded = np.pad(masks.masks, ((0, 0), (1, 1), (1, 1), (1, 1)))  # so that the interpolation falls to 0 at the rim
    start = tuple(start - 1 for start in masks.start)
    shape = padded.shape[1:]
    box, window = _box_on(
        source.crop(start, shape) if slice_coordinates is None else source, target, masks, slice_coordinates
    )
    result = np.zeros(target.shape, np.uint8)
    if box is None:
        return result
    if slice_coordinates is None:
        values = resample(np.moveaxis(padded, 0, -1), source.crop(start, shape), box)
        result[window] = (values >= 0.5).sum(axis=-1)
        return result
    grid = source.crop((0, *start[1:]), (source.shape[0], *shape[1:]))
    reach = _padded_coordinates(slice_coordinates, start[0], shape[0])
    result[window] = sum((resample_between(mask, grid, reach, box) >= 0.5).astype(np.uint8) for mask in padded)
    return result


def mask_on(mask: VoxelMask, target: Grid) -> ReaderMasks | None:
    """A nodule's voxels on the CT's grid, as the mask of one reader; None where they miss its voxel centres.

    The mask is interpolated linearly and cut at one half.

    Args:
        mask: the voxels on their own grid.
        target: grid of the CT, or of a patch.
    """
    padded = np.pad(mask.voxels, 1)
    source = mask.grid.crop((-1, -1, -1), padded.shape)
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(padded.shape[::-1]) - 1)
    index = target.to_index(source.to_lps(corners))[:, ::-1]
    first = np.clip(np.floor(index.min(axis=0)).astype(int), 0, target.shape)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, target.shape)
    if (last <= first).any():
        return None
    inside = resample(padded, source, target.crop(first.tolist(), (last - first).tolist())) >= 0.5
    if not inside.any():
        return None
    where = np.argwhere(inside)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    start = (first + low).tolist()
    return ReaderMasks(inside[tuple(map(slice, low, high))][None], (start[0], start[1], start[2]))


def _box_on(
    source: Grid, target: Grid, masks: ReaderMasks, slice_coordinates: np.ndarray | None
) -> tuple[Grid | None, tuple[slice, ...]]:
    """The part of ``target`` that the padded masks reach, as a grid and as a window of ``target``."""
    low, high = np.zeros(3), np.array(masks.masks.shape[1:]) + 1.0  # padded box [slice, row, column]
    if slice_coordinates is not None:
        reach = _padded_coordinates(slice_coordinates, masks.start[0] - 1, masks.masks.shape[1] + 2)
        offset = np.array([0.0, *(n - 1 for n in masks.start[1:])])
        low, high = low + offset, high + offset
        low[0], high[0] = reach[0], reach[-1]
    corners = np.where(np.array(list(np.ndindex(2, 2, 2))) == 0, low, high)[:, ::-1]
    index = target.to_index(source.to_lps(corners))[:, ::-1]
    first = np.clip(np.floor(index.min(axis=0)).astype(int), 0, target.shape)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, target.shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    if (last <= first).any():
        return None, window
    return target.crop(tuple(int(n) for n in first), tuple(int(n) for n in last - first)), window


def _padded_coordinates(slice_coordinates: np.ndarray, first: int, count: int) -> np.ndarray:
    """Places of the slices ``first`` … ``first + count - 1``; beyond the CT they go on in steps of one."""
    wide = np.concatenate([[slice_coordinates[0] - 1], slice_coordinates, [slice_coordinates[-1] + 1]])
    return wide[first + 1 : first + 1 + count]
