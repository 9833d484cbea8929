"""The outline that a run sees about a nodule, as lines in patient space."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.ndimage import binary_dilation, label, map_coordinates
from scipy.spatial import ConvexHull, QhullError
from skimage.measure import find_contours

from ctxai.ct.grid import Grid
from ctxai.ct.patch import Patch
from ctxai.export.overlay import to_ct_grid

if TYPE_CHECKING:
    from ctxai.run.run import Run

_INSIDE = 0.5
#: First voxel in the CT, and bool [slice, row, column] from there.
VoxelBlock: TypeAlias = tuple[tuple[int, int, int], np.ndarray]


def outlines_of(run: Run, patch: Patch) -> dict[str, list[np.ndarray]]:
    """Closed lines about the nodule in the central image of each view, LPS mm (point, 3); none for a run that has
    learnt no outlines.

    Args:
        run: the model.
        patch: the nodule in its centre.
    """
    from ctxai.data.views import view_frame
    from ctxai.errors import ModelError
    from ctxai.run.recentring import nodule_part

    try:
        shares = run.outlines(patch.hu[None])[0].numpy()
    except ModelError:
        return {}
    lines = {}
    for view, share in zip(run.views.views, shares, strict=True):
        pixel_mm = run.views.field_of_view_mm / len(share)
        seen = np.pad(np.where(binary_dilation(nodule_part(share, pixel_mm)), share, 0), 1)
        level = _level(share)
        if level <= 0:
            continue
        across = view_frame(view)[:, :2].numpy()  # (superior, posterior, left) of an image's columns and rows
        middle = (len(seen) - 1) / 2
        lines[view] = [
            patch.grid.centre + ((line[:, ::-1] - middle) * pixel_mm @ across.T)[:, ::-1]
            for line in find_contours(seen, level)
        ]
    return lines


def nodule_mask(run: Run, patch: Patch, grid: Grid) -> VoxelBlock | None:
    """The voxels of the CT inside the outlines that the run sees in parallel images of its first view, 1 mm apart.

    Of several bodies, the one whose outline in the central image is the nodule's. It ends at the sides of the field of
    view.

    Args:
        run: the model.
        patch: the nodule in its centre.
        grid: the CT's.

    Returns:
        None for a run that has learnt no outlines, or where it sees none.
    """
    import torch

    from ctxai.data.views import view_frame
    from ctxai.errors import ModelError
    from ctxai.run.recentring import nodule_part

    reach = int(run.views.field_of_view_mm / 2)
    depths = np.arange(-reach, reach + 1.0)
    frame = view_frame(run.views.views[0]).numpy()  # (superior, posterior, left) of columns, rows and normal
    centres = torch.from_numpy(np.outer(depths, frame[:, 2])).float()
    try:
        shares = run.outlines(np.repeat(patch.hu[None], len(depths), axis=0), centres)[:, 0].numpy()
    except ModelError:
        return None
    level = _level(shares[reach])
    if level <= 0:
        return None
    pixel_mm = run.views.field_of_view_mm / shares.shape[-1]
    bodies, _ = label(shares >= level)
    own = np.unique(bodies[reach][nodule_part(shares[reach], pixel_mm)])
    seen = np.where(binary_dilation(np.isin(bodies, own[own > 0])), shares, 0)
    steps = [np.arange(count) - (count - 1) / 2 for count in patch.grid.shape]  # mm: the patch has voxels of 1 mm
    column, row, depth = np.moveaxis(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1) @ frame, -1, 0)
    middle = (shares.shape[-1] - 1) / 2
    places = [depth + reach, row / pixel_mm + middle, column / pixel_mm + middle]
    block = to_ct_grid(map_coordinates(seen, places, order=1), patch.grid, grid)
    mask = block.covered & (block.values >= level)
    return (block.start, mask) if mask.any() else None


def _level(share: np.ndarray) -> float:
    """Share of a pixel at the border of the nodule, for an image of shares (row, column)."""
    return min(_INSIDE, 0.5 * float(share.max()))


def longest_across(lines: Sequence[np.ndarray]) -> np.ndarray | None:
    """Ends of the longest straight line between two points of closed lines in one plane, LPS mm (2, 3)."""
    if not lines:
        return None
    points = np.concatenate(list(lines))
    flat = points[:, np.ptp(points, axis=0) > 1e-6]
    with suppress(QhullError, ValueError):  # a line has no hull
        points = points[ConvexHull(flat).vertices]
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    return points[list(np.unravel_index(int(distance.argmax()), distance.shape))]
