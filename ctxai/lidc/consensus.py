"""Readers' outlines as voxel masks on the CT's own grid, by LIDC's convention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Polygon

from ctxai.lidc.database import Contour, Nodule, Reading


@dataclass(frozen=True)
class ReaderMasks:
    """Masks of one nodule, one per reader, cropped to the box that all outlines share.

    Attributes:
        masks: bool [reader, slice, row, column].
        start: index of the first voxel of the box, [slice, row, column] of the series.
    """

    masks: np.ndarray
    start: tuple[int, int, int]

    @property
    def agreement(self) -> np.ndarray:
        """How many readers include each voxel, uint8 [slice, row, column]."""
        return self.masks.sum(axis=0, dtype=np.uint8)

    def consensus(self, level: float = 0.5) -> np.ndarray:
        """Voxels that at least the share ``level`` of the readers include, bool [slice, row, column]."""
        return self.masks.mean(axis=0) >= level

    def centre_index(self) -> np.ndarray:
        """Centre of the 50 % consensus' bounding box as continuous [slice, row, column] of the series.

        Where the readers agree on no voxel, the centre of the box of all outlines.
        """
        consensus = self.consensus()
        where = np.argwhere(consensus) if consensus.any() else np.array([[0, 0, 0], np.array(consensus.shape) - 1])
        return (where.min(axis=0) + where.max(axis=0)) / 2 + np.array(self.start)


def reader_masks(nodule: Nodule, slice_z_mm: np.ndarray | None = None) -> ReaderMasks:
    """Rasterise every reader's outlines of a nodule.

    A voxel belongs to a reading when its centre lies inside an inclusion contour, is no point of that contour (LIDC's
    points lie just outside the nodule), and is neither inside nor on an exclusion contour (a hole). Equal to
    ``boolean_mask`` and ``consensus`` of pylidc 0.2.3.

    Args:
        nodule: readings of the nodule.
        slice_z_mm: z of the series' slices, ascending; the database's own by default. Outlines are matched to the
            nearest slice, so a series that begins or ends elsewhere is taken as it is.
    """
    positions = nodule.scan.slice_z_mm if slice_z_mm is None else np.asarray(slice_z_mm, dtype=float)
    points = np.concatenate([contour.points for reading in nodule.readings for contour in reading.contours])
    slices = {
        contour.z_mm: int(np.abs(positions - contour.z_mm).argmin())
        for reading in nodule.readings
        for contour in reading.contours
    }
    low, high = points.min(axis=0), points.max(axis=0)
    start = (min(slices.values()), int(low[0]), int(low[1]))
    shape = (max(slices.values()) - start[0] + 1, *(int(n) for n in high - low + 1))
    masks = np.zeros((len(nodule.readings), *shape), dtype=bool)
    for mask, reading in zip(masks, nodule.readings, strict=True):
        _rasterise(reading, mask, start, slices)
    return ReaderMasks(masks, start)


def _rasterise(reading: Reading, mask: np.ndarray, start: tuple[int, int, int], slices: dict[float, int]) -> None:
    """Draw one reading into ``mask`` [slice, row, column]: first what it includes, then its holes."""
    for contour in sorted(reading.contours, key=lambda c: not c.inclusion):
        plane = mask[slices[contour.z_mm] - start[0]]
        box, inside = _filled(contour)
        view = plane[tuple(slice(low - first, high - first) for (low, high), first in zip(box, start[1:], strict=True))]
        outline = tuple((contour.points - np.array(start[1:])).T)
        if contour.inclusion:
            view |= inside
        else:
            view &= ~inside
        plane[outline] = False


def _filled(contour: Contour) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Bounding box [(first, one past last) of rows, of columns] of a contour, and which pixel centres lie inside it."""
    points = contour.points
    low, high = points.min(axis=0), points.max(axis=0) + 1
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    closed = points if (points[0] == points[-1]).all() else np.vstack([points, points[:1]])
    inside = Polygon(closed, closed=True).contains_points(np.column_stack([rows.ravel(), columns.ravel()]))
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)], inside.reshape(rows.shape)
