"""Patch maps and masks on the CT's own grid: what every exported object is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.ct.patch import inside, resample
from ctxai.errors import GeometryError, InputError
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import SparseVolume, zeros

COLOUR_PERCENTILE = 99


@dataclass(frozen=True)
class Block:
    """A part of a volume on the CT's grid.

    Attributes:
        start: first voxel [slice, row, column] in the CT.
        values: float32 [slice, row, column]; 0 where not covered.
        covered: which voxels lie in the patch, bool, same shape.
    """

    start: tuple[int, int, int]
    values: np.ndarray
    covered: np.ndarray

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """Where the block lies in an array on the CT's grid."""
        first, row, column = (slice(a, a + n) for a, n in zip(self.start, self.values.shape, strict=True))
        return first, row, column


def to_ct_grid(values: np.ndarray, patch_grid: Grid, ct_grid: Grid, nearest: bool = False) -> Block:
    """Resample a patch at the CT's own voxel centres, in the patch's bounding box only.

    Interpolates linearly between the patch's voxel centres and holds the last value out to its edge. No low-pass
    filter: where the CT's voxels are larger than the patch's, the map is sampled, not averaged.

    Args:
        values: map or mask [slice, row, column] on ``patch_grid``; for a nodule's patch (superior, posterior, left).
        patch_grid: where the voxels of ``values`` are.
        ct_grid: the CT.
        nearest: nearest neighbour, for masks.

    Raises:
        GeometryError: when the shape is not the grid's, or the patch lies outside the CT.
        InputError: when a value is not finite.
    """
    if values.shape != patch_grid.shape:
        raise GeometryError(
            f"patch map has the shape {values.shape}, its grid {patch_grid.shape}; give the map's own grid"
        )
    if not np.isfinite(values).all():
        raise InputError("patch map holds values that are not finite; the explanation failed, run it again")
    edges = np.array(list(np.ndindex(2, 2, 2))) * np.array(patch_grid.shape[::-1]) - 0.5
    index = ct_grid.to_index(patch_grid.to_lps(edges))[:, ::-1]
    first = np.maximum(np.ceil(index.min(axis=0)), 0).astype(int)
    last = np.minimum(np.floor(index.max(axis=0)), np.array(ct_grid.shape) - 1).astype(int)
    if (first > last).any():
        centre = ", ".join(f"{value:.1f}" for value in patch_grid.centre)
        raise GeometryError(f"patch about ({centre}) mm LPS holds no voxel of the CT; give the CT that it was cut from")
    start = tuple(first.tolist())
    box = ct_grid.crop(start, tuple((last - first + 1).tolist()))
    covered = inside(patch_grid, box)
    # A margin, so that a voxel centre on the very edge of the patch is not taken for outside by the resampler.
    padded = np.pad(values.astype(np.float32, copy=False), 1, mode="edge")
    on_ct = resample(padded, patch_grid.crop((-1, -1, -1), padded.shape), box, nearest=nearest)
    on_ct[~covered] = 0
    return Block(start, on_ct, covered)


def merge_maps(maps: Iterable[tuple[np.ndarray, Grid]], ct_grid: Grid) -> np.ndarray:
    """Several nodules' maps in one volume, float32 [slice, row, column] on the CT's grid; 0 where no patch is.

    Where patches overlap, the value of larger magnitude stands, and of equal ones the first. Values are never added
    or averaged, so every voxel shows a value that was computed for one nodule.

    Args:
        maps: each patch map [slice, row, column] with its grid; taken one after another.
        ct_grid: the CT.

    Raises:
        GeometryError, InputError: as :func:`to_ct_grid`.
    """
    return merge_to_content(maps, ct_grid).array


def merge_to_content(maps: Iterable[tuple[np.ndarray, Grid]], ct_grid: Grid) -> SparseVolume:
    """:func:`merge_maps`, with the places of the values."""
    volume = zeros(ct_grid.shape, np.float32)
    places = []
    for values, patch_grid in maps:
        block = to_ct_grid(values, patch_grid, ct_grid)
        part = volume[block.place]
        np.copyto(part, block.values, where=np.abs(block.values) > np.abs(part))
        places.append(block.place)
    return SparseVolume.within(volume, places)


def merge_masks(masks: Iterable[tuple[np.ndarray, Grid]], ct_grid: Grid) -> np.ndarray:
    """Several nodules' masks as labels 1, 2, … in the order given, uint16 [slice, row, column] on the CT's grid.

    Where masks overlap, the first keeps the voxel.

    Args:
        masks: each mask [slice, row, column], true inside, with its grid.
        ct_grid: the CT.

    Raises:
        GeometryError: as :func:`to_ct_grid`.
    """
    labels = zeros(ct_grid.shape, np.uint16)
    for label, (mask, patch_grid) in enumerate(masks, start=1):
        block = to_ct_grid(mask.astype(bool), patch_grid, ct_grid, nearest=True)
        part = labels[block.place]
        part[(block.values > 0.5) & (part == 0)] = label
    return labels


def scale_of(volume: np.ndarray | SparseVolume) -> float:
    """The largest magnitude in a volume, or 1 where all is 0: what stored values are divided by.

    Raises:
        InputError: when a value is not finite.
    """
    largest = max((float(np.abs(part).max(initial=0)) for part in _parts(volume)), default=0.0)
    if not np.isfinite(largest):
        raise InputError("map holds values that are not finite; the explanation failed, run it again")
    return largest or 1.0


def colour_scale_of(values: np.ndarray) -> float:
    """The magnitude that is drawn in the strongest colour: 99 % of a nodule's magnitudes other than 0 are at most that.

    A few extreme voxels would otherwise take all colour from the rest; capped at the 99th percentile as by Smilkov et
    al. 2017, "SmoothGrad". 1 where all is 0.

    Raises:
        InputError: as :func:`scale_of`.
    """
    scale_of(values)
    magnitudes = np.abs(values[values != 0])
    return float(np.percentile(magnitudes, COLOUR_PERCENTILE, method="lower")) if magnitudes.size else 1.0


def require_sign(volume: np.ndarray | SparseVolume, provenance: Provenance) -> None:
    """Refuse negative values of a method that has none; they would be left out in silence.

    Raises:
        InputError: naming the method.
    """
    if not provenance.signed and any(part.min(initial=0) < 0 for part in _parts(volume)):
        raise InputError(f"{provenance.method} is said to be unsigned, but its map holds negative values")


def _parts(volume: np.ndarray | SparseVolume) -> Iterable[np.ndarray]:
    """Parts of a volume outside of which every value is 0."""
    return volume.parts() if isinstance(volume, SparseVolume) else (volume,)
