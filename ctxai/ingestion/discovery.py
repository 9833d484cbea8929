"""CT series of a DICOM tree, the nodules in them, and the faults that their headers show."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctxai.annotations.base import AnnotationSource, CTDescription
from ctxai.ct.geometry import HARMLESS, GeometryReport, GeometryRules
from ctxai.ct.header_table import write_headers
from ctxai.ct.search import find_series
from ctxai.ct.slice_sorting import stack
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import GeometryError, InputError
from ctxai.ingestion.labels import with_labels
from ctxai.ingestion.plan import IngestPlan, plan_annotated, plan_cohort
from ctxai.ingestion.rows import folds_of
from ctxai.lidc.quality import QualityIssue
from ctxai.progress import console

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TreeOptions:
    """A DICOM tree, and which of its series and nodules are ingested.

    Attributes:
        dicom_dir: the tree; damaged images are left out with a warning.
        names: public ids or pseudonyms of patients.
        rules: which faults are repaired.
        annotations: nodules; None for those of LIDC-IDRI's database.
        cohort: whose rules choose among outlined nodules.
        patients: only these patients, of LIDC-IDRI's database.
        workers: processes that read a large tree.
        headers: file to keep the tree's headers in.
        labels: CSV with labels, one row a nodule, a series or a patient.
    """

    dicom_dir: Path
    names: Pseudonymizer
    rules: GeometryRules = field(default_factory=GeometryRules)
    annotations: AnnotationSource | None = None
    cohort: str = "default"
    patients: Sequence[str] | None = None
    workers: int = 0
    headers: Path | None = None
    labels: Path | None = None


def plan_tree(options: TreeOptions) -> IngestPlan:
    """Plan of a tree, with every fault of its images and series, nodules or none.

    Raises:
        InputError: when there is no nodule to ingest, or headers are to be kept for outlines outside the database.
    """
    folder, annotations, patients = options.dicom_dir, options.annotations, options.patients
    if options.headers is not None and annotations is not None and annotations.outlined:
        raise InputError("--headers: for the database's nodules or points; LIDC's XML files need the whole tree")
    damaged: dict[Path, str] = {}
    with console.status("Reading DICOM headers"):
        series = find_series(folder, damaged, options.workers)
    if options.headers is not None:
        write_headers(options.headers, folder, series)
    for reason in damaged.values():
        logger.warning("left out: %s", reason)
    cts: list[CTDescription] = []
    faults: list[QualityIssue] = []
    for uid in sorted(series):
        patient = options.names(series[uid][0])
        chosen = patients is None or patient in patients
        try:
            found = stack(series[uid], options.rules)
        except GeometryError as error:
            reason = str(error).removeprefix(f"{series[uid][0].source_label}: ")
            faults += [QualityIssue(patient, uid, "", "no CT slice", reason, "refused")] * chosen
            continue
        cts.append(CTDescription.of_slices(found.headers, patient))
        faults += _geometry_issues(uid, patient, found.report) if chosen else []
    if annotations is None:
        plan = plan_cohort(series, options.cohort, patients, folder)
    else:
        plan = plan_annotated(series, cts, annotations, options.cohort)
    if options.labels is not None:
        owners = {ct.series_uid: ct.owner for ct in cts}
        rows = with_labels(plan.rows, options.labels, owners)
        own = [name for name in rows.columns if name not in plan.rows.columns]
        if annotations is not None and not annotations.outlined and rows.fold.eq(plan.rows.fold).all():
            rows["fold"] = folds_of(rows, [owners[uid] for uid in rows.series_uid], own)
        plan = replace(plan, rows=rows)
    unread = [
        QualityIssue("", "", "", "damaged image", _without_folder(reason, folder), "left out")
        for reason in damaged.values()
    ]
    return replace(plan, issues=(*plan.issues, *unread, *faults))


def _without_folder(reason: str, folder: Path) -> str:
    return reason.removeprefix(f"{folder}, ").removeprefix(f"{folder}: ")


def _geometry_issues(uid: str, patient: str, report: GeometryReport) -> list[QualityIssue]:
    """Every fault in the geometry of one series, whether or not it holds a nodule of the cohort."""
    actions = {fault: "refused" if fault in report.blocking else "repaired" for fault in report.faults}
    actions |= {fault: "noted" for fault in report.faults if fault in HARMLESS}
    return [QualityIssue(patient, uid, "", str(fault), text, actions[fault]) for fault, text in report.faults.items()]
