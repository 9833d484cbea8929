"""Which patients make a small synthetic cohort worth learning from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctxai.errors import InputError
from ctxai.lidc.annotations import outlines_covered
from ctxai.lidc.cohort import malignancy_label
from ctxai.lidc.database import LidcDatabase, Nodule, Scan
from ctxai.phantom.slice_range import slice_window

_MIN_READERS = 3
_MAX_THICKNESS_MM = 3.0


@dataclass(frozen=True)
class _Candidate:
    scan: Scan
    nodules: tuple[Nodule, ...]
    slices: int
    benign: int
    malignant: int


def demo_cohort(
    database: LidcDatabase, count: int, seed: int, margin_mm: float
) -> list[tuple[Scan, tuple[Nodule, ...]]]:
    """``count`` scans of as many patients, with all their nodules, ordered by patient.

    Patients qualify with one scan, slices of at most 3 mm at even and single positions, no ambiguous nodule, and a
    nodule of at least three readers whose median malignancy is not 3. Among them, those with the fewest slices per such
    nodule come first, with some chance in it, and benign and malignant nodules are kept in balance.

    Raises:
        InputError: when fewer patients qualify.
    """
    rng = np.random.default_rng(seed)
    candidates = [c for c in (_candidate(database, s, margin_mm) for s in _eligible(database)) if c is not None]
    if not 0 < count <= len(candidates):
        raise InputError(f"{count} patients: expected 1 to {len(candidates)}, as many as qualify for the demo cohort")
    chance = np.exp(rng.normal(0, 0.08, len(candidates)))
    benign = np.array([c.benign for c in candidates])
    malignant = np.array([c.malignant for c in candidates])
    cost = chance * np.array([c.slices for c in candidates]) ** 0.9  # below 1: in favour of several nodules a patient
    free = np.ones(len(candidates), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < count:
        wants_malignant = malignant[chosen].sum() < benign[chosen].sum()
        worth = malignant + 0.8 * benign if wants_malignant else benign + 0.8 * malignant
        price = np.where(free, cost / worth, np.inf)
        chosen.append(int(price.argmin()))
        free[chosen[-1]] = False
    return [(candidates[i].scan, candidates[i].nodules) for i in sorted(chosen)]


def _eligible(database: LidcDatabase) -> list[Scan]:
    patients = [scan.patient_id for scan in database.scans]
    return [
        scan
        for scan in database.scans
        if patients.count(scan.patient_id) == 1
        and scan.slice_thickness_mm <= _MAX_THICKNESS_MM
        and np.ptp(np.diff(scan.slice_z_mm)) < 0.01 * scan.slice_spacing_mm
    ]


def _candidate(database: LidcDatabase, scan: Scan, margin_mm: float) -> _Candidate | None:
    nodules = database.nodules(scan)
    if not nodules or any(nodule.ambiguous for nodule in nodules):
        return None
    z_mm = slice_window(scan, nodules, margin_mm)
    labels = [
        malignancy_label(float(np.median(nodule.ratings("malignancy"))))
        for nodule in nodules
        if len(nodule.readings) >= _MIN_READERS and outlines_covered(nodule, z_mm)
    ]
    benign, malignant = labels.count(0.0), labels.count(1.0)
    if benign + malignant == 0:
        return None
    return _Candidate(scan, nodules, len(z_mm), benign, malignant)
