"""Scans and nodules made by hand, in the database's own types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctxai.lidc.database import RATINGS, Contour, Nodule, Reading, Scan


def made_up_scan(slice_z_mm: Sequence[float], pixel_mm: float = 0.7) -> Scan:
    """A scan with these slice positions."""
    z = np.sort(np.asarray(slice_z_mm, dtype=float))
    return Scan(1, "LIDC-IDRI-0001", "1.2.3", "1.2.3.4", float(np.median(np.diff(z))), pixel_mm, False, False, z)


def disc(centre: tuple[float, float], radius: float, z_mm: float) -> Contour:
    """A circle's outline, in pixels."""
    angle = np.linspace(0, 2 * np.pi, 8 * int(radius) + 9)[:-1]
    points = np.round(np.column_stack([centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)]))
    return Contour(True, float(z_mm), points.astype(np.int32))


def made_up_nodule(
    scan: Scan,
    z_mm: Sequence[float],
    readers: int = 4,
    centre: tuple[float, float] = (256, 150),
    radius: float = 7.0,
    **ratings: int | Sequence[int],
) -> Nodule:
    """A nodule that every reader outlines alike; a rating is one number, or one for each reader."""
    typical = dict(zip(RATINGS, (5, 1, 6, 5, 5, 1, 1, 5, 3), strict=True))
    contours = tuple(disc(centre, radius, z) for z in z_mm)
    each = [{k: int(np.atleast_1d(v)[i % np.size(v)]) for k, v in (typical | ratings).items()} for i in range(readers)]
    return Nodule(f"{scan.patient_id}-01", scan, tuple(Reading(i, scan, r, contours) for i, r in enumerate(each)))
