"""Where the nodules of a series come from: a user's points, or LIDC-IDRI's readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ctxai.ct.point_diagnostics import extent, suggest_coordinate_fix
from ctxai.ct.points import Point
from ctxai.ct.series import CTSeries
from ctxai.errors import GeometryError, InputError
from ctxai.lidc.annotations import nodules_by_series, outlines_covered
from ctxai.lidc.cohort import RATING_MAXIMUM
from ctxai.lidc.consensus import ReaderMasks, reader_masks


@dataclass(frozen=True, eq=False)
class NoduleCandidate:
    """A nodule to predict and explain.

    Attributes:
        nodule_id: its name in every file.
        centre_lps: LPS mm.
        diameter_mm: None where nobody measured it.
        masks: the readers' masks on the CT's grid; None for a mere point.
        ratings: mean of the readers' ratings, by name; empty for a point.
        n_readers: how many readers outlined it.
        readings: each reader's ratings as they stand in the database, in the order of ``masks``.
    """

    nodule_id: str
    centre_lps: np.ndarray
    diameter_mm: float | None = None
    masks: ReaderMasks | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    n_readers: int = 0
    readings: tuple[Mapping[str, int], ...] = ()


def candidates_of(series: CTSeries, points: list[Point] | None) -> list[NoduleCandidate]:
    """The nodules of a series.

    Args:
        series: the CT.
        points: the user's points; those without a series belong to every series. None takes LIDC-IDRI's annotation.

    Returns:
        The candidates, in the order of the points or of the readings; empty when no point names this series.

    Raises:
        InputError: when there are no points and the series is not of LIDC-IDRI.
        GeometryError: when a point lies outside the CT.
    """
    if points is None:
        return _from_readers(series)
    chosen = [point for point in points if point.series_uid in (None, series.series_uid)]
    for point in chosen:
        if not series.grid.contains(point.lps):
            x, y, z = point.lps
            raise GeometryError(
                f"point {point.nodule_id} ({x:g}, {y:g}, {z:g}) lies outside the CT in {series.source_label} "
                f"({extent(series.grid)}); {suggest_coordinate_fix(series.grid, point.lps)}"
            )
    return [NoduleCandidate(point.nodule_id, point.lps, point.diameter_mm) for point in chosen]


def _from_readers(series: CTSeries) -> list[NoduleCandidate]:
    found = nodules_by_series([series.series_uid])
    if series.series_uid not in found:
        raise InputError(
            f"{series.source_label}: no LIDC-IDRI annotation belongs to this series; "
            "there is no nodule detector: mark nodules in a CSV with x,y,z (LPS mm) and give it with --points"
        )
    candidates = []
    for nodule in found[series.series_uid]:
        if not outlines_covered(nodule, series.slice_z_mm):
            continue
        masks = reader_masks(nodule, series.slice_z_mm)
        ratings = {
            name: [value for value in nodule.ratings(name) if 1 <= value <= highest]
            for name, highest in RATING_MAXIMUM.items()
        }
        candidates.append(
            NoduleCandidate(
                nodule.nodule_id,
                series.grid.to_lps(masks.centre_index()[::-1]),
                nodule.diameter_mm,
                masks,
                {name: float(np.mean(values)) for name, values in ratings.items() if values},
                len(nodule.readings),
                tuple(reading.ratings for reading in nodule.readings),
            )
        )
    return candidates
