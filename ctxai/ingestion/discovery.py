"""What is to be ingested of a DICOM tree, and the faults that its headers show."""

from __future__ import annotations

import logging
from pathlib import Path

from ctxai.ct.geometry import HARMLESS, GeometryRules
from ctxai.ct.header import SliceHeader
from ctxai.ct.header_table import write_headers
from ctxai.ct.search import find_series
from ctxai.ct.slice_sorting import stack
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import GeometryError, InputError
from ctxai.ingestion.sources import IngestPlan, from_database, from_points, from_xml
from ctxai.lidc.quality import QualityIssue
from ctxai.progress import console

logger = logging.getLogger(__name__)


def work_in_tree(
    dicom_dir: Path,
    cohort: str,
    patients: list[str] | None,
    xml: Path | None,
    points: Path | None,
    rules: GeometryRules,
    workers: int,
    kept: Path | None,
    names: Pseudonymizer,
) -> IngestPlan:
    """What is to be ingested of a tree, with every fault of its images and series, nodules or none.

    Args:
        dicom_dir: the tree; damaged images are left out with a warning.
        cohort: whose rules choose among the nodules of LIDC-IDRI.
        patients: only these patients, of LIDC-IDRI's database.
        xml: LIDC's XML annotation instead of the database.
        points: points instead of the database.
        rules: which faults are repaired.
        workers: processes that read a large tree.
        kept: file to keep the tree's headers in.
        names: what patients are called.

    Raises:
        InputError: when there is no nodule to ingest, or ``xml`` and ``kept`` are both given.
    """
    if kept is not None and xml is not None:
        raise InputError("--headers: for the database's nodules or points; LIDC's XML files need the whole tree")
    damaged: dict[Path, str] = {}
    with console.status("Reading DICOM headers"):
        series = find_series(dicom_dir, damaged, workers)
    if kept is not None:
        write_headers(kept, dicom_dir, series)
    if xml is not None:
        work = from_xml(series, xml, cohort, rules, names)
    elif points is not None:
        work = from_points(series, points, names)
    else:
        work = from_database(series, cohort, patients, dicom_dir)
    issues = list(work.issues)
    for reason in damaged.values():
        logger.warning("left out: %s", reason)
        detail = reason.removeprefix(f"{dicom_dir}, ").removeprefix(f"{dicom_dir}: ")
        issues.append(QualityIssue("", "", "", "damaged image", detail, "left out"))
    for uid in sorted(series):
        patient = names(series[uid][0])
        if patients is None or patient in patients:
            issues += _geometry_findings(uid, patient, series[uid], rules)
    return IngestPlan(work.rows, work.sources, work.nodules, tuple(issues))


def _geometry_findings(uid: str, patient: str, headers: list[SliceHeader], rules: GeometryRules) -> list[QualityIssue]:
    """Every fault in the geometry of one series, whether or not it holds a nodule of the cohort."""
    try:
        report = stack(headers, rules).report
    except GeometryError as error:
        reason = str(error).removeprefix(f"{headers[0].source_label}: ")
        return [QualityIssue(patient, uid, "", "no CT slice", reason, "refused")]
    actions = {fault: "refused" if fault in report.blocking else "repaired" for fault in report.faults}
    actions |= {fault: "noted" for fault in report.faults if fault in HARMLESS}
    return [QualityIssue(patient, uid, "", str(fault), text, actions[fault]) for fault, text in report.faults.items()]
