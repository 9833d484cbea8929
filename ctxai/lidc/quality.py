"""Known faults and peculiarities of LIDC-IDRI's scans and readings, by name, before a voxel is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from ctxai.lidc.cohort import USED
from ctxai.lidc.database import Nodule


@dataclass(frozen=True)
class QualityIssue:
    """One line of an ingest report.

    Attributes:
        name: what was found, for example ``missing slice``.
        detail: figures.
        action: ``noted``, ``repaired``, ``excluded`` (by the cohort's rules), ``refused`` or ``left out``.
    """

    patient_id: str
    series_uid: str
    nodule_id: str
    name: str
    detail: str
    action: str = "noted"


def known_faults(
    tables: Mapping[str, pd.DataFrame], series_uids: Iterable[str], nodules: Mapping[str, tuple[Nodule, ...]]
) -> list[QualityIssue]:
    """Findings of some series, in the manifest's order.

    Args:
        tables: the manifest: scans, nodules, readings.
        series_uids: the series.
        nodules: outlines of those series of which they are known.
    """
    wanted = set(series_uids)
    scans = tables["scans"]
    several = scans.patient_id.value_counts()
    issues = []
    for scan in scans[scans.series_uid.isin(wanted)].to_dict("records"):
        place = (scan["patient_id"], scan["series_uid"], "")
        if several[scan["patient_id"]] > 1:
            detail = f"{several[scan['patient_id']]} CT scans; each is taken by its own Series Instance UID"
            issues.append(QualityIssue(*place, "several scans of one patient", detail))
        if scan["is_from_initial"]:
            detail = "first release: spiculation and lobulation may be rated on inverted scales"
            issues.append(QualityIssue(*place, "uncertain rating scale", detail))
    rows = tables["nodules"]
    for row in rows[rows.series_uid.isin(wanted) & (rows.status != USED)].to_dict("records"):
        place = (row["patient_id"], row["series_uid"], row["nodule_id"])
        issues.append(QualityIssue(*place, row["status"], f"{row['n_readers']} reader(s)", "excluded"))
    readings = tables["readings"]
    odd = readings.series_uid.isin(wanted) & readings.status.str.startswith("rating out of range")
    for row in readings[odd].to_dict("records"):
        name, _, detail = row["status"].partition(": ")
        place = (row["patient_id"], row["series_uid"], row["nodule_id"])
        issues.append(QualityIssue(*place, name, f"{detail}, left out of means", "left out"))
    for nodule in (nodule for uid in scans.series_uid if uid in wanted for nodule in nodules.get(uid, ())):
        holes = sum(not contour.inclusion for reading in nodule.readings for contour in reading.contours)
        if holes:
            place = (nodule.scan.patient_id, nodule.scan.series_uid, nodule.nodule_id)
            issues.append(QualityIssue(*place, "exclusion contours", f"{holes} outline(s) cut as holes"))
    return issues
