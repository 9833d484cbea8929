"""Maps of a patch's two-dimensional views, put together to one map in the patch.

The patch is a block of cubic voxels with axes (superior, posterior, left). An image of a view covers exactly a square
of ``field_of_view_mm`` around the patch centre, whatever its number of pixels:

| view     | rows                | columns   | normal    |
|----------|---------------------|-----------|-----------|
| axial    | posterior           | left      | superior  |
| coronal  | superior, downwards | left      | posterior |
| sagittal | superior, downwards | posterior | left      |

"Downwards": row 0 is the most superior one, as radiologists look at it.

The rule: every voxel takes, from every view that covers it, the value of the pixel it lies in (or a bilinear value),
linearly between the two neighbouring slices. Beyond the first and the last slice a stack reaches half the distance to
the next slice, and a single slice half a voxel. The fused value is the mean over the views that cover a voxel, the
spread their standard deviation; where no view covers it, both are 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctxai.errors import InputError


@dataclass(frozen=True)
class ViewStack:
    """The maps of one view's slices.

    Attributes:
        maps: (slice, h, w).
        offsets_mm: (slice,), the slices' positions along the view's normal, relative to the patch centre, ascending.
        field_of_view_mm: side of the square that an image covers, centred on the patch centre.
        reach_mm: how far the first and the last slice reach outwards; the rule above when not given.
    """

    maps: Tensor
    offsets_mm: Tensor
    field_of_view_mm: float
    reach_mm: float | None = None


@dataclass(frozen=True)
class FusedMap:
    """One map on the patch grid, each array with axes (superior, posterior, left).

    Attributes:
        values: float32, the mean over the views that cover a voxel.
        std: float32, the standard deviation over these views.
        covered: bool, whether any view covers the voxel.
    """

    values: NDArray[np.float32]
    std: NDArray[np.float32]
    covered: NDArray[np.bool_]


class _View(NamedTuple):
    """Patch axes (0 superior, 1 posterior, 2 left) of a view's normal, rows and columns, and the rows' direction."""

    normal: int
    rows: int
    columns: int
    row_direction: int


_VIEWS = {"axial": _View(0, 1, 2, 1), "coronal": _View(1, 0, 2, -1), "sagittal": _View(2, 0, 1, -1)}


class _Samples(NamedTuple):
    """For every voxel of an axis: two neighbours, the weight of the upper one, and whether the voxel is reached."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    weight: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def take(self, values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        shape = [1] * values.ndim
        shape[axis] = -1
        weight = self.weight.reshape(shape)
        return values.take(self.lower, axis) * (1 - weight) + values.take(self.upper, axis) * weight


def fuse_views(
    stacks: Mapping[str, ViewStack],
    shape: tuple[int, int, int] = (64, 64, 64),
    spacing_mm: float = 1.0,
    in_plane: Literal["nearest", "linear"] = "nearest",
    centre_mm: Sequence[float] = (0.0, 0.0, 0.0),
) -> FusedMap:
    """Fuse the stacks of a patch's views, by name ("axial", "coronal", "sagittal"), on the patch grid.

    Args:
        stacks: the maps of each view.
        shape: voxels along (superior, posterior, left); the patch centre is at index (n - 1) / 2 of each axis.
        spacing_mm: side of a voxel.
        in_plane: how an image is read between its pixels' centres.
        centre_mm: where the images lie, (superior, posterior, left) from the patch centre.

    Raises:
        InputError: for an unknown view, no view at all, or a stack whose parts do not fit together.
    """
    if not stacks or not set(stacks) <= set(_VIEWS):
        raise InputError(f"expected stacks of {', '.join(_VIEWS)}, found {sorted(stacks) or 'none'}")
    if len(shape) != 3 or min(shape) < 1 or not spacing_mm > 0:
        raise InputError(f"expected three axis lengths and a positive spacing, found {shape} and {spacing_mm} mm")
    centres: list[NDArray[np.float64]] = [
        (np.arange(n, dtype=np.float64) - (n - 1) / 2) * spacing_mm - middle
        for n, middle in zip(shape, centre_mm, strict=True)
    ]
    values, covered = [], []
    for name, stack in stacks.items():
        view = _VIEWS[name]
        maps, offsets = _checked(name, stack)
        samples = (
            _between_slices(centres[view.normal], offsets, _reach(offsets, stack.reach_mm, spacing_mm)),
            _in_image(view.row_direction * centres[view.rows], maps.shape[1], stack.field_of_view_mm, in_plane),
            _in_image(centres[view.columns], maps.shape[2], stack.field_of_view_mm, in_plane),
        )
        for axis, along in enumerate(samples):
            maps = along.take(maps, axis)
        inside = samples[0].inside[:, None, None] & samples[1].inside[:, None] & samples[2].inside
        order = np.argsort((view.normal, view.rows, view.columns))
        values.append(maps.transpose(order))
        covered.append(inside.transpose(order))
    weights = np.stack(covered)
    count = weights.sum(axis=0)
    divisor = np.maximum(count, 1)
    mean = np.where(weights, values, 0).sum(axis=0) / divisor
    variance = np.where(weights, (np.stack(values) - mean) ** 2, 0).sum(axis=0) / divisor
    return FusedMap(mean.astype(np.float32), np.sqrt(variance).astype(np.float32), count > 0)


def _checked(name: str, stack: ViewStack) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    maps = torch.as_tensor(stack.maps).detach().cpu().double().numpy()
    offsets = torch.as_tensor(stack.offsets_mm).detach().cpu().double().numpy()
    if maps.ndim != 3 or 0 in maps.shape or offsets.shape != maps.shape[:1]:
        raise InputError(
            f"{name} view: expected maps (slice, h, w) and one offset per slice, found {maps.shape} and {offsets.shape}"
        )
    if not np.isfinite(offsets).all() or (np.diff(offsets) <= 0).any():
        raise InputError(f"{name} view: expected finite slice offsets in ascending order, found {offsets.tolist()}")
    if not 0 < stack.field_of_view_mm < np.inf:
        raise InputError(f"{name} view: expected a positive field of view in mm, found {stack.field_of_view_mm}")
    return maps, offsets


def _reach(offsets: NDArray[np.float64], given_mm: float | None, spacing_mm: float) -> tuple[float, float]:
    """How far the first and the last slice reach outwards."""
    if given_mm is not None:
        return given_mm, given_mm
    if len(offsets) == 1:
        return spacing_mm / 2, spacing_mm / 2
    return (offsets[1] - offsets[0]) / 2, (offsets[-1] - offsets[-2]) / 2


def _between_slices(centres: NDArray[np.float64], offsets: NDArray[np.float64], reach: tuple[float, float]) -> _Samples:
    last = len(offsets) - 1
    upper = np.searchsorted(offsets, centres).clip(1, max(last, 1)).clip(max=last)
    lower = (upper - 1).clip(0)
    gap = np.where(upper > lower, offsets[upper] - offsets[lower], 1.0)
    weight = ((centres - offsets[lower]) / gap).clip(0, 1)
    inside = (centres >= offsets[0] - reach[0]) & (centres <= offsets[-1] + reach[1])
    return _Samples(lower, upper, weight, inside)


def _in_image(centres: NDArray[np.float64], pixels: int, field_of_view_mm: float, in_plane: str) -> _Samples:
    position = (centres / field_of_view_mm + 0.5) * pixels  # pixel r spans r to r + 1
    inside = (position >= 0) & (position <= pixels)
    if in_plane == "nearest":
        nearest = np.floor(position).clip(0, pixels - 1).astype(np.intp)
        return _Samples(nearest, nearest, np.zeros(len(centres)), inside)
    position = (position - 0.5).clip(0, pixels - 1)
    lower = np.floor(position).astype(np.intp)
    return _Samples(lower, (lower + 1).clip(max=pixels - 1), position - lower, inside)
