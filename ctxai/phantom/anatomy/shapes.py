"""Signed distances in millimetres (negative inside), their smooth combinations, and painting them into a slice.

Shapes are evaluated on a coarse grid, where a distance is as smooth as anywhere, and brought to full resolution only
inside the box that they touch: this is what makes a slice cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Pixels between two nodes of the coarse grid.
STEP = 4


@dataclass(frozen=True)
class CoarseGrid:
    """The pixel grid of some slices and the coarse grid laid over it.

    Attributes:
        rows: pixels along each side of the square image; a multiple of :data:`STEP`.
        pixel_mm: distance of pixel centres.
        z_mm: slice positions, ascending.
    """

    rows: int
    pixel_mm: float
    z_mm: np.ndarray

    @property
    def nodes_mm(self) -> np.ndarray:
        """Positions of the coarse nodes along a row, from the centre of pixel 0: ``rows / STEP + 1`` of them."""
        return (np.arange(self.rows // STEP + 1) * (STEP * self.pixel_mm)).astype(np.float32)

    def mesh(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Broadcastable coarse coordinates x (1, 1, n), y (1, n, 1), z (slice, 1, 1) in mm."""
        nodes = self.nodes_mm
        return nodes[None, None, :], nodes[None, :, None], self.z_mm.astype(np.float32)[:, None, None]


def ellipsoid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: tuple[float, ...], radii: tuple[float, ...]
) -> np.ndarray:
    """Distance to an ellipsoid with axes along x, y, z; exact on its surface, close to it elsewhere."""
    u, v, w = ((value - c) / r for value, c, r in zip((x, y, z), centre, radii, strict=True))
    scaled = np.sqrt(u * u + v * v + w * w) + 1e-6
    gradient = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) + 1e-6
    return scaled * (scaled - 1) / gradient


def capsule(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    start: tuple[float, ...],
    end: tuple[float, ...],
    radius: float,
    end_radius: float | None = None,
) -> np.ndarray:
    """Distance to the tube about the segment from ``start`` to ``end``, its radius changing linearly."""
    along = [q - p for p, q in zip(start, end, strict=True)]
    length2 = sum(value * value for value in along)
    t = sum((w - p) * (v / length2) for w, p, v in zip((x, y, z), start, along, strict=True))
    t = np.clip(t, 0, 1)
    dx, dy, dz = (w - p - t * v for w, p, v in zip((x, y, z), start, along, strict=True))
    grown = radius if end_radius is None else radius + t * (end_radius - radius)
    return np.sqrt(dx * dx + dy * dy + dz * dz) - grown


def union(*distances: np.ndarray) -> np.ndarray:
    """Distance to the union of shapes."""
    result = distances[0]
    for distance in distances[1:]:
        result = np.minimum(result, distance)
    return result


def blend(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Union of two shapes with the crease between them filled over about ``width`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b + (a - b) * h - width * h * (1 - h)


def carve(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Shape ``a`` without shape ``b``, the edge rounded over about ``width`` mm."""
    return -blend(-a, b, width)


def upsample(nodes: np.ndarray) -> np.ndarray:
    """Coarse nodes (n + 1, m + 1) to pixels (n * STEP, m * STEP), bilinearly."""
    n, m = nodes.shape[0] - 1, nodes.shape[1] - 1
    rows = np.empty((n, STEP, m + 1), dtype=nodes.dtype)
    difference = (nodes[1:] - nodes[:-1]) / STEP
    for f in range(STEP):
        np.add(nodes[:-1], f * difference, out=rows[:, f])
    rows = rows.reshape(n * STEP, m + 1)
    pixels = np.empty((n * STEP, m, STEP), dtype=nodes.dtype)  # filled by strides: far faster than broadcasting to it
    difference = (rows[:, 1:] - rows[:, :-1]) / STEP
    for f in range(STEP):
        np.add(rows[:, :-1], f * difference, out=pixels[:, :, f])
    return pixels.reshape(n * STEP, m * STEP)


def box(nodes: np.ndarray, reach: float) -> tuple[slice, slice] | None:
    """Coarse box of the nodes with a distance below ``reach``, widened to whole cells; None where there is none."""
    near = nodes < reach
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if rows.size == 0:
        return None
    last = nodes.shape[0] - 1
    return (
        slice(max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, last + 1)),
        slice(max(int(columns[0]) - 1, 0), min(int(columns[-1]) + 2, last + 1)),
    )


def pixels_of(nodes: slice) -> slice:
    """The pixels that lie between the coarse nodes of ``nodes``."""
    return slice(nodes.start * STEP, (nodes.stop - 1) * STEP)


def coverage(distance: np.ndarray, softness_mm: float) -> np.ndarray:
    """Share of a voxel that a shape fills, 0..1, when its edge passes at ``distance``."""
    return np.clip(0.5 - distance * np.float32(1 / softness_mm), 0, 1)


def paint(
    image: np.ndarray,
    nodes: np.ndarray,
    value: np.ndarray | float,
    softness_mm: float,
    also: np.ndarray | None = None,
) -> None:
    """Paint a shape into ``image`` (row, column), in place.

    Args:
        image: Hounsfield units.
        nodes: the shape's distances on the coarse grid of this slice.
        value: Hounsfield units of the shape: a number, or an array on the coarse grid.
        softness_mm: width of the edge.
        also: a second shape's distances; what lies in both is painted. A thin plate is the meeting of two smooth
            shapes: its own distance has a ridge that the coarse grid would miss.
    """
    where = box(nodes if also is None else np.maximum(nodes, also), softness_mm if also is None else STEP)
    if where is None:
        return
    target = image[pixels_of(where[0]), pixels_of(where[1])]
    distance = upsample(nodes[where])
    if also is not None:
        distance = np.maximum(distance, upsample(also[where]))
    share = coverage(distance, softness_mm)
    if isinstance(value, np.ndarray):
        value = upsample(value[where])
    target += share * (value - target)
