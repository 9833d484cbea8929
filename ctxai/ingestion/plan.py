"""Plan of an ingestion: the manifest's rows, their CTs and outlines, and issues known before a voxel is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from ctxai.annotations.base import AnnotatedNodule, AnnotationSource, CTDescription
from ctxai.annotations.luna16 import Luna16, short_key
from ctxai.annotations.matching import annotate, require_some
from ctxai.ct.mask import VoxelMask
from ctxai.errors import InputError
from ctxai.ingestion.extraction import Source
from ctxai.ingestion.rows import point_rows
from ctxai.lidc.annotations import load_tables, nodules_by_series, used_rows
from ctxai.lidc.cohort import USED, load_rules, nodule_rows
from ctxai.lidc.database import Nodule
from ctxai.lidc.quality import QualityIssue, known_faults

_PLACE = ["patient_id", "series_uid", "nodule_id", "status"]


@dataclass(frozen=True, eq=False)
class IngestPlan:
    """Input of an ingestion.

    Attributes:
        rows: the manifest, one row per nodule; the row number is the index in the store.
        sources: the CT of each Series Instance UID.
        nodules: outlined nodules by Series Instance UID; none for points.
        issues: known before a voxel is read.
        masks: voxels of nodules that have such, by Series Instance UID and name.
    """

    rows: pd.DataFrame
    sources: Mapping[str, Source]
    nodules: Mapping[str, tuple[Nodule, ...]] = field(default_factory=dict)
    issues: tuple[QualityIssue, ...] = ()
    masks: Mapping[str, Mapping[str, VoxelMask]] = field(default_factory=dict)


def plan_cohort(sources: Mapping[str, Source], cohort: str, patients: Sequence[str] | None, folder: Path) -> IngestPlan:
    """The cohort's nodules of LIDC-IDRI whose series are there.

    Args:
        sources: the CTs.
        cohort: whose rules choose.
        patients: only these.
        folder: where the CTs are, for messages.

    Raises:
        InputError: when none of them is there.
    """
    tables = load_tables(cohort)
    rows = used_rows(tables)
    rows = rows[rows.series_uid.isin(sources.keys())]
    scans = tables["scans"]
    found = scans[scans.series_uid.isin(sources.keys())]
    issues = []
    if patients is not None:
        absent = sorted(set(patients) - set(scans.patient_id))
        issues = [
            QualityIssue(patient, "", "", "no such patient", "LIDC-IDRI has no such patient") for patient in absent
        ]
        rows = rows[rows.patient_id.isin(patients)]
        found = found[found.patient_id.isin(patients)]
        if absent and len(absent) == len(set(patients)):
            raise InputError(f"{', '.join(absent)}: no such patient in LIDC-IDRI")
    rows = rows.reset_index(drop=True)
    if rows.empty:
        nodules = tables["nodules"]
        excluded = nodules[nodules.series_uid.isin(found.series_uid)].status
        if len(excluded):
            raise InputError(f"{folder}: no nodule is used by the cohort {cohort!r}: {_reasons(excluded)}")
        raise InputError(
            f"{folder}: none of its {len(sources)} CT series holds a nodule of the cohort {cohort!r}; "
            "for a CT of your own mark its nodules and give them with --points"
        )
    outlined = nodules_by_series(found.series_uid)
    issues += known_faults(tables, found.series_uid, outlined)
    return IngestPlan(rows, sources, outlined, tuple(issues))


def plan_annotated(
    sources: Mapping[str, Source], cts: Sequence[CTDescription], annotations: AnnotationSource, cohort: str = "default"
) -> IngestPlan:
    """The nodules of an annotation source; outlined ones by the rules of a cohort.

    Args:
        sources: the CTs, by Series Instance UID.
        cts: what annotation sources need of them.
        annotations: where the nodules are marked.
        cohort: whose rules choose among outlined nodules.

    Raises:
        InputError: when no nodule belongs to a CT that is there, or a label is out of its range.
    """
    if not cts:
        raise InputError(f"{annotations.path}: no CT slice besides localizers in the {len(sources)} series found")
    found = annotate(annotations, cts)
    require_some(annotations, found, cts)
    issues = list(found.issues)
    outlined = [nodule.outlines for nodule in found.nodules if nodule.outlines is not None]
    if not outlined:
        found = replace(found, nodules=_with_own_names(found.nodules))
        masks: dict[str, dict[str, VoxelMask]] = {}
        for marked in found.nodules:
            if marked.mask is not None:
                masks.setdefault(str(marked.series_uid), {})[marked.nodule_id] = marked.mask
        return IngestPlan(point_rows(found.nodules, cts), sources, issues=tuple(issues), masks=masks)
    rows = nodule_rows(outlined, load_rules(cohort))
    issues += [
        QualityIssue(patient, uid, nodule_id, status, "not in the cohort", "excluded")
        for patient, uid, nodule_id, status in rows.loc[rows.status != USED, _PLACE].to_numpy().tolist()
    ]
    nodules: dict[str, tuple[Nodule, ...]] = {}
    for nodule in outlined:
        uid = nodule.scan.series_uid
        nodules[uid] = (*nodules.get(uid, ()), nodule)
    if not (rows.status == USED).any():
        raise InputError(f"{annotations.path}: no nodule is used by the cohort {cohort!r}: {_reasons(rows.status)}")
    rows = rows[rows.status == USED].drop(columns="status").reset_index(drop=True)
    folds = load_tables()["folds"].drop_duplicates("patient_id").set_index("patient_id").fold
    rows["fold"] = rows.patient_id.map(folds).fillna(rows.fold).astype(int)  # of known patients, the manifest's
    return IngestPlan(rows, sources, nodules, tuple(issues))


def _with_own_names(nodules: Sequence[AnnotatedNodule]) -> list[AnnotatedNodule]:
    """Nodules whose names are unique in the store: a name that restarts in every series gets the series' key."""
    counts = Counter(nodule.nodule_id for nodule in nodules)
    return [
        nodule
        if counts[nodule.nodule_id] == 1
        else replace(nodule, nodule_id=f"{short_key(str(nodule.series_uid))}-{nodule.nodule_id}"[:64])
        for nodule in nodules
    ]


def plan_luna(folder: Path) -> IngestPlan:
    """LUNA16: MetaImage files named by Series Instance UID, beside ``annotations.csv``.

    Raises:
        InputError: when the annotations, or all of the files that they name, are missing, or a line is damaged.
    """
    annotations = Luna16(folder / "annotations.csv")
    files = {path.stem: path for path in sorted(folder.rglob("*.mhd"))}
    scans = load_tables()["scans"].set_index("series_uid").patient_id
    patients = {uid: scans.get(uid) or f"luna-{short_key(uid)}" for uid in files}
    cts = [CTDescription(uid, patient, patient, str(folder)) for uid, patient in patients.items()]
    found = annotate(annotations, cts)
    if not found.nodules:
        raise InputError(f"{folder}: none of its {len(files)} .mhd file(s) is named in {annotations.path.name}")
    return IngestPlan(point_rows(found.nodules, cts), files)


def _reasons(status: pd.Series) -> str:
    """Why nodules are excluded, with counts."""
    return ", ".join(f"{count} {reason}" for reason, count in status.value_counts().items())
