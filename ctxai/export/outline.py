"""A nodule's outline in its key slice, in the pixel coordinates of DICOM's structured reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.errors import GeometryError, InputError

_CIRCLE_POINTS = 48


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed line in one slice.

    Attributes:
        slice_index: the key slice of the CT's grid.
        points: float32 (point, [column, row]) in pixels; (0.5, 0.5) is the middle of the first pixel (PS3.3
            C.18.6.1.2). The last point is the first.
        drawn: whether it follows the nodule's border; else it is a circle that marks the place.
    """

    slice_index: int
    points: np.ndarray
    drawn: bool


def outline_of_mask(mask: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> Outline:
    """The border of a mask in the slice where it is largest; of several parts there the largest, without holes.

    The pixels whose middles lie inside the line are those of the mask.

    Args:
        mask: bool [slice, row, column].
        start: place of its first voxel in the CT, [slice, row, column].

    Raises:
        InputError: when the mask is empty.
    """
    from skimage.measure import find_contours, label  # here: the first image of `ctxai open` does without

    areas = mask.sum(axis=(1, 2))
    if not areas.any():
        raise InputError("an empty mask has no outline; leave the nodule out")
    key = int(areas.argmax())
    parts = label(mask[key], connectivity=1)
    largest = parts == np.bincount(parts[parts > 0]).argmax()
    lines = find_contours(np.pad(largest, 1).astype(np.float32), 0.5, fully_connected="low")
    border = max(lines, key=_enclosed)  # (row, column) in the padded plane
    points = border[:, ::-1] - 1 + 0.5 + np.array([start[2], start[1]])
    return Outline(start[0] + key, points.astype(np.float32), drawn=True)


def outline_of_point(grid: Grid, centre_lps: np.ndarray, diameter_mm: float) -> Outline:
    """A circle about a point in the slice nearest to it, for a nodule that nobody outlined.

    Args:
        grid: the CT.
        centre_lps: LPS mm.
        diameter_mm: the circle's.

    Raises:
        GeometryError: when the point lies outside the CT.
    """
    if not grid.contains(centre_lps):
        raise GeometryError(f"point {np.round(centre_lps, 1).tolist()} mm LPS lies outside the CT")
    column, row, number = grid.to_index(centre_lps)
    angle = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS + 1)
    reach = diameter_mm / 2 / grid.spacing_mm[:2]
    points = np.array([column, row]) + 0.5 + np.column_stack([np.cos(angle), np.sin(angle)]) * reach
    points = np.clip(points, 0, grid.shape[:0:-1])
    points[-1] = points[0]
    return Outline(int(np.clip(round(number), 0, grid.shape[0] - 1)), points.astype(np.float32), drawn=False)


def _enclosed(line: np.ndarray) -> float:
    """Area inside a closed line of (row, column)."""
    rows, columns = line.T
    return abs(float(rows[:-1] @ columns[1:] - rows[1:] @ columns[:-1])) / 2
