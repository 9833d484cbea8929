"""The outline that a run sees about a nodule, as lines in patient space."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.spatial import ConvexHull, QhullError
from skimage.measure import find_contours

from ctxai.ct.patch import Patch

if TYPE_CHECKING:
    from ctxai.run.run import Run

_INSIDE = 0.5


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
        level = min(_INSIDE, 0.5 * float(share.max()))
        if level <= 0:
            continue
        across = view_frame(view)[:, :2].numpy()  # (superior, posterior, left) of an image's columns and rows
        middle = (len(seen) - 1) / 2
        lines[view] = [
            patch.grid.centre + ((line[:, ::-1] - middle) * pixel_mm @ across.T)[:, ::-1]
            for line in find_contours(seen, level)
        ]
    return lines


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
