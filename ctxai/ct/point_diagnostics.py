"""Error for a point outside its CT, with the CT's extent and the likely meaning of the numbers."""

from __future__ import annotations

import numpy as np

from ctxai.ct.grid import Grid

_LARGEST_CM = 200.0


def extent(grid: Grid) -> str:
    """The middles of a grid's outermost voxels: ``x -166.0..192.6, y -171.7..186.9, z -340.0..-10.0 mm, LPS``."""
    last = np.array(grid.shape[::-1]) - 1
    corners = grid.to_lps(np.array(list(np.ndindex(2, 2, 2))) * last)
    low, high = corners.min(axis=0), corners.max(axis=0)
    sides = (f"{axis} {a:.1f}..{b:.1f}" for axis, a, b in zip("xyz", low, high, strict=True))
    return f"{', '.join(sides)} mm, LPS"


def suggest_coordinate_fix(grid: Grid, lps: np.ndarray) -> str:
    """Likely meaning of a position outside a grid, and the way out.

    Args:
        grid: of the CT.
        lps: the position as it was given, taken for LPS mm.
    """
    if grid.contains(lps * (-1, -1, 1)):
        return "with the signs of x and y turned it lies inside: these may be RAS numbers, as Slicer shows them"
    if np.all((lps == np.round(lps)) & (lps >= 0) & (lps < grid.shape[::-1])):
        x, y, z = grid.to_lps(lps)
        return (
            "these may be array indices: column, row and slice, counted from 0 along the CT's axes, would be "
            f"{x:.1f},{y:.1f},{z:.1f}"
        )
    if np.abs(lps).max() < _LARGEST_CM and grid.contains(lps * 10):
        return "ten times these numbers lie inside: they may be centimetres"
    return "points are LPS millimetres in this CT's own frame of reference; was it marked in another series?"
