"""Nodules to predict and explain, from annotated nodules and the CT that they lie in."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ctxai.annotations.base import AnnotatedNodule, CTDescription
from ctxai.annotations.lidc import LidcIdri
from ctxai.ct.geometry import STRICT, Fault, GeometryRules
from ctxai.ct.header import SliceHeader
from ctxai.ct.point_diagnostics import extent, suggest_coordinate_fix
from ctxai.ct.series import CTSeries
from ctxai.ct.slice_sorting import longest_run, stack
from ctxai.ct.volume import CT
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import GeometryError, InputError
from ctxai.lidc.agreement import mask_on
from ctxai.lidc.annotations import outlines_covered
from ctxai.lidc.cohort import RATING_MAXIMUM
from ctxai.lidc.consensus import ReaderMasks, reader_masks
from ctxai.lidc.database import Nodule

logger = logging.getLogger(__name__)

#: Half a patch of 64 mm.
_PATCH_REACH_MM = 32.0


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


def describe_series(
    groups: Iterable[Sequence[SliceHeader]], names: Pseudonymizer | None = None, rules: GeometryRules = STRICT
) -> list[CTDescription]:
    """Series as annotation sources need them; those without a CT slice are left out.

    Args:
        groups: headers of each series.
        names: names of patients, where the names of nodules derive from them.
        rules: which acquisition is used.
    """
    described = []
    for headers in groups:
        with contextlib.suppress(GeometryError):  # told when the series is opened
            slices = stack(headers, rules).headers
            described.append(CTDescription.of_slices(slices, "" if names is None else names(slices[0])))
    return described


def open_series(
    headers: Sequence[SliceHeader], nodules: Sequence[AnnotatedNodule] | None, rules: GeometryRules = STRICT
) -> CTSeries:
    """A CT to explain; where slices are missing, the regular part about its nodules, as long as no patch reaches a gap.

    Args:
        headers: the images of the series.
        nodules: its annotated nodules; None takes LIDC-IDRI's annotation.
        rules: which acquisition is used.

    Raises:
        GeometryError: for any other fault, or a missing slice near a nodule.
    """
    try:
        return CTSeries(headers, rules)
    except GeometryError:
        found = stack(headers, rules)
        if found.report.blocking.keys() != {Fault.MISSING_SLICE}:
            raise
        if nodules is None:
            nodules = LidcIdri().nodules([CTDescription.of_slices(found.headers, "")]).nodules
        first = found.headers[0]
        normal = np.cross(first.orientation[:3], first.orientation[3:])
        marks = [mark for nodule in nodules for mark in _along(nodule, normal)]
        reach = _PATCH_REACH_MM * np.abs(normal).sum()
        run = longest_run(found.headers, min(marks) - reach, max(marks) + reach) if marks else None
        if run is None:
            raise
        logger.warning(
            "%s: %s; no nodule lies near, %d of %d slices are used",
            *(first.source_label, found.report.blocking[Fault.MISSING_SLICE], len(run), len(found.headers)),
        )
        return CTSeries(run)


def _along(nodule: AnnotatedNodule, normal: np.ndarray) -> list[float]:
    """Positions of a nodule along the normal of the image plane, LPS mm."""
    if nodule.outlines is not None:
        return [c.z_mm * normal[2] for reading in nodule.outlines.readings for c in reading.contours]
    return [] if nodule.centre_lps is None else [float(nodule.centre_lps @ normal)]


def candidates_of(series: CT, nodules: Sequence[AnnotatedNodule] | None) -> list[NoduleCandidate]:
    """The nodules of a series.

    Args:
        series: the CT.
        nodules: its annotated nodules; None takes LIDC-IDRI's annotation.

    Returns:
        The candidates, in the order of the annotation, without those that are outlined on slices which are missing.

    Raises:
        InputError: when no annotation is given and the series is not of LIDC-IDRI.
        GeometryError: when a nodule lies outside the CT.
    """
    if nodules is None:
        readers = LidcIdri()
        if not isinstance(series, CTSeries) or not readers.knows(series.series_uid):
            raise InputError(
                f"{series.source_label}: no LIDC-IDRI annotation belongs to this series; "
                "mark nodules in a CSV with x,y,z (LPS mm), or let a detector of yours propose them (`ctxai detect`), "
                "and give it with --points"
            )
        nodules = readers.nodules([CTDescription.of_slices(series.headers, series.patient_id)]).nodules
    return list(filter(None, (_candidate(series, nodule) for nodule in nodules)))


def _candidate(series: CT, nodule: AnnotatedNodule) -> NoduleCandidate | None:
    if nodule.outlines is not None:
        return _outlined(series, nodule.outlines)
    lps = nodule.centre_lps
    if nodule.mask is not None and lps is not None and series.grid.contains(lps):
        masks = mask_on(nodule.mask, series.grid)
        if masks is not None:
            return NoduleCandidate(nodule.nodule_id, lps, nodule.diameter_mm, masks, n_readers=1)
    if lps is None:
        raise InputError(f"{nodule.origin}: {nodule.nodule_id} has no position")
    require_inside(series, nodule.nodule_id, lps)
    return NoduleCandidate(nodule.nodule_id, lps, nodule.diameter_mm)


def require_inside(series: CT, nodule_id: str, lps: np.ndarray) -> None:
    """Refuse a point that lies outside of the CT, and suggest what may be wrong with it.

    Raises:
        GeometryError: for such a point.
    """
    if not series.grid.contains(lps):
        x, y, z = lps
        raise GeometryError(
            f"point {nodule_id} ({x:g}, {y:g}, {z:g}) lies outside the CT in {series.source_label} "
            f"({extent(series.grid)}); {suggest_coordinate_fix(series.grid, lps)}"
        )


def _outlined(series: CT, nodule: Nodule) -> NoduleCandidate | None:
    """A nodule with readers' outlines; None where one lies on a slice that is missing."""
    if not outlines_covered(nodule, series.slice_z_mm):
        return None
    masks = reader_masks(nodule, series.slice_z_mm)
    ratings = {
        name: [value for value in nodule.ratings(name) if 1 <= value <= highest]
        for name, highest in RATING_MAXIMUM.items()
    }
    return NoduleCandidate(
        nodule.nodule_id,
        series.grid.to_lps(masks.centre_index()[::-1]),
        nodule.diameter_mm,
        masks,
        {name: float(np.mean(values)) for name, values in ratings.items() if values},
        len(nodule.readings),
        tuple(reading.ratings for reading in nodule.readings),
    )
