"""Where a nodule lies beside its mark: the middle of the outline that a run itself sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import label

from ctxai.data.views import view_frame

_INSIDE = 0.5
_PER_E_MM = 1.5  # a part this much farther from the mark has to be e times as large


def nodule_part(outline: np.ndarray, pixel_mm: float) -> np.ndarray:
    """The connected part of an outline that the mark means, bool (row, column): near the image's centre, and large.

    Args:
        outline: share of each pixel that lies in a nodule (row, column), in [0, 1].
        pixel_mm: width of a pixel.
    """
    mask = outline >= min(_INSIDE, 0.5 * float(outline.max()))
    parts, count = label(mask)
    if count <= 1:
        return mask
    rows, columns = np.nonzero(mask)
    middle = (np.array(mask.shape) - 1) / 2
    distance = np.hypot(rows - middle[0], columns - middle[1]) * pixel_mm
    number = parts[rows, columns]
    merit = [np.log((number == n).sum()) - distance[number == n].min() / _PER_E_MM for n in range(1, count + 1)]
    return parts == 1 + int(np.argmax(merit))


def displacement_mm(outlines: np.ndarray, views: Sequence[str], field_of_view_mm: float) -> np.ndarray:
    """From the centre of a nodule's images to the middle of its outline, mm (superior, posterior, left).

    Args:
        outlines: one image's outline for each view (view, row, column).
        views: their names; where two see an axis, they are averaged.
        field_of_view_mm: side of the images.
    """
    total, seen = np.zeros(3), np.zeros(3)
    for outline, view in zip(outlines, views, strict=True):
        pixel_mm = field_of_view_mm / len(outline)
        part = nodule_part(outline, pixel_mm)
        weights = np.where(part, outline, 0.0)
        if not weights.any():
            continue
        steps = (np.arange(len(outline)) - (len(outline) - 1) / 2) * pixel_mm
        row, column = (float(steps @ weights.sum(axis) / weights.sum()) for axis in (1, 0))
        in_plane = view_frame(view)[:, :2].numpy()
        total += in_plane @ np.array([column, row])
        seen += np.abs(in_plane).sum(1)
    return total / np.maximum(seen, 1)


def within(displacements: torch.Tensor, most_mm: float) -> torch.Tensor:
    """Displacements (nodule, 3), each shortened to ``most_mm`` where it is longer."""
    length = displacements.norm(dim=1, keepdim=True)
    return displacements * (most_mm / length.clamp(min=1e-6)).clamp(max=1)
