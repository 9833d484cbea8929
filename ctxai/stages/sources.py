"""Where ingestion's nodules come from: LIDC-IDRI's database, its XML files, points in any CT, LUNA16."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.header import SliceHeader
from ctxai.ct.header_table import Owner
from ctxai.ct.points import COLUMNS, Point, read_points
from ctxai.ct.spreadsheet import read_table
from ctxai.ct.stack import stack
from ctxai.errors import InputError
from ctxai.lidc.annotations import load_tables, nodules_by_series, used_rows
from ctxai.lidc.cohort import RATING_MAXIMUM, USED, load_rules, malignancy_label, nodule_rows, patient_folds
from ctxai.lidc.database import RATINGS, Nodule
from ctxai.lidc.findings import Finding, known_faults
from ctxai.lidc.xml import nodules_from_xml, read_xml
from ctxai.stages.cutting import Source

_LIDC_PATIENT = re.compile(r"LIDC-IDRI-\d{4}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be ingested.

    Attributes:
        rows: the manifest: one row per nodule, its number is its place in the store.
        sources: the CT of each Series Instance UID.
        nodules: outlined nodules by Series Instance UID; none for points.
        findings: what is known before a voxel is read.
    """

    rows: pd.DataFrame
    sources: Mapping[str, Source]
    nodules: Mapping[str, tuple[Nodule, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def from_database(
    series: Mapping[str, list[SliceHeader]], cohort: str, patients: list[str] | None, place: Path
) -> Work:
    """The cohort's nodules whose series are there.

    Raises:
        InputError: when none of them is.
    """
    tables = load_tables(cohort)
    rows = used_rows(tables)
    rows = rows[rows.series_uid.isin(series.keys())]
    scans = tables["scans"]
    found = scans[scans.series_uid.isin(series.keys())]
    findings = []
    if patients is not None:
        absent = sorted(set(patients) - set(scans.patient_id))
        findings = [Finding(patient, "", "", "no such patient", "LIDC-IDRI has no such patient") for patient in absent]
        rows = rows[rows.patient_id.isin(patients)]
        found = found[found.patient_id.isin(patients)]
        if absent and len(absent) == len(set(patients)):
            raise InputError(f"{', '.join(absent)}: no such patient in LIDC-IDRI")
    rows = rows.reset_index(drop=True)
    if rows.empty:
        raise InputError(
            f"{place}: none of its {len(series)} CT series holds a nodule of the cohort {cohort!r}; "
            "for a CT of your own mark its nodules and give them with --points"
        )
    nodules = nodules_by_series(found.series_uid)
    findings += known_faults(tables, found.series_uid, nodules)
    return Work(rows, series, nodules, tuple(findings))


def from_xml(series: Mapping[str, list[SliceHeader]], xml: Path, cohort: str, rules: GeometryRules) -> Work:
    """The nodules of LIDC's XML files, by the rules of a cohort.

    Raises:
        InputError: when no file belongs to one of the series, or one is damaged.
    """
    if not xml.exists():
        raise InputError(f"{xml}: no such file; give LIDC's XML annotation, or a folder of them")
    files = sorted(xml.rglob("*.xml")) if xml.is_dir() else [xml]
    annotations = {annotation.series_uid: annotation for annotation in map(read_xml, files)}
    nodules: dict[str, tuple[Nodule, ...]] = {}
    findings = []
    for uid in series.keys() & annotations.keys():
        found = stack(series[uid], rules)
        patient = patient_name(series[uid][0])
        try:
            nodules[uid] = nodules_from_xml(annotations[uid], found, patient)
        except InputError as error:
            logger.warning("left out: %s", error)
            text = str(error).removeprefix(f"{series[uid][0].place}: ")
            findings.append(Finding(patient, uid, "", "outlines do not fit", text, "refused"))
    everything = [nodule for uid in sorted(nodules) for nodule in nodules[uid]]
    if not everything:
        raise InputError(f"{xml}: none of its {len(files)} file(s) outlines a nodule in the {len(series)} CT series")
    rows = nodule_rows(everything, load_rules(cohort))
    findings += [
        Finding(row.patient_id, row.series_uid, row.nodule_id, row.status, "not in the cohort", "excluded")
        for row in rows[rows.status != USED].itertuples()
    ]
    rows = rows[rows.status == USED].drop(columns="status").reset_index(drop=True)
    return Work(rows, series, nodules, tuple(findings))


def from_points(series: Mapping[str, list[SliceHeader]], path: Path) -> Work:
    """Points in any CT; labels are optional.

    Beside the columns that :func:`ctxai.ct.points.read_points` knows, ``label_malignancy`` (0 or 1) and ratings such
    as ``malignancy`` or ``spiculation`` (on LIDC's scales) are taken. Patients with a rating of malignancy get folds,
    where there are enough of them.

    Raises:
        InputError: when a point names no series that is there, or a label is out of its range.
    """
    points = read_points(path)
    labels = _labels(path, points)
    only = next(iter(series)) if len(series) == 1 else None
    rows = []
    for point, label in zip(points, labels, strict=True):
        uid = point.series_uid or only
        if uid is None or uid not in series:
            wanted = "has no series_uid" if uid is None else f"names the series {uid}"
            raise InputError(f"{path}: {point.nodule_id} {wanted}; expected one of the {len(series)} series found")
        rows.append(_point_row(point, uid, patient_name(series[uid][0]), label))
    table = pd.DataFrame(rows)
    status = np.where(table.malignancy_mean.notna(), USED, "unrated")
    return Work(table.assign(fold=patient_folds(table.assign(status=status), load_rules())), series)


def from_luna(folder: Path) -> Work:
    """LUNA16: MetaImage files named by Series Instance UID, beside ``annotations.csv``.

    Raises:
        InputError: when the annotations, or all of the files that they name, are missing.
    """
    table = folder / "annotations.csv"
    files = {path.stem: path for path in sorted(folder.rglob("*.mhd"))}
    if not table.is_file():
        raise InputError(f"{table}: no such file; expected LUNA16's annotations beside its subset folders")
    found = pd.read_csv(table, dtype={"seriesuid": str})
    needed = ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"]
    if missing := [name for name in needed if name not in found.columns]:
        raise InputError(f"{table}: no column {', '.join(missing)}; expected {', '.join(needed)}")
    found = found[found.seriesuid.isin(files)]
    if found.empty:
        raise InputError(f"{folder}: none of its {len(files)} .mhd file(s) is named in {table.name}")
    scans = load_tables()["scans"].set_index("series_uid").patient_id
    rows = []
    for uid, group in found.groupby("seriesuid", sort=False):
        patient = scans.get(uid) or f"luna-{_short(uid)}"
        for number, row in enumerate(group.itertuples(), start=1):
            position = np.array([row.coordX, row.coordY, row.coordZ], float)
            # The running number is LUNA's own: its nodules are not numbered as LIDC's.
            point = Point(f"luna-{_short(uid)}-{number:02d}", position, uid, float(row.diameter_mm))
            rows.append(_point_row(point, uid, patient, {}))
    return Work(pd.DataFrame(rows), files)


def _point_row(point: Point, series_uid: str, patient_id: str, label: Mapping[str, float]) -> dict[str, object]:
    """A manifest row without readers; the same columns as a nodule of LIDC-IDRI has."""
    row: dict[str, object] = {
        "nodule_id": point.nodule_id,
        "patient_id": patient_id,
        "series_uid": series_uid,
        "n_readers": 0,
        "diameter_mm": float("nan") if point.diameter_mm is None else point.diameter_mm,
        **dict(zip("xyz", (round(float(value), 4) for value in point.lps), strict=True)),
    }
    for name in RATINGS:
        row |= {f"{name}_ratings": "", f"{name}_mean": label.get(name, float("nan")), f"{name}_sd": float("nan")}
    rating = label.get("malignancy", float("nan"))
    row["malignancy_median"] = rating
    row["label_malignancy"] = label.get(
        "label_malignancy", float("nan") if np.isnan(rating) else malignancy_label(rating)
    )
    row["fold"] = -1
    return row


def _labels(path: Path, points: list[Point]) -> list[dict[str, float]]:
    """Labels of each point, by name; empty for markups."""
    if path.name.endswith(".json"):
        return [{} for _ in points]
    labels = []
    for line, row in read_table(path, COLUMNS)[1]:
        given = {name: row[name.lower()] for name in ("label_malignancy", *RATING_MAXIMUM) if row.get(name.lower())}
        labels.append({name: _label(path, line, name, text) for name, text in given.items()})
    return labels


def _label(path: Path, line: int, name: str, text: str) -> float:
    low, high = (0, 1) if name == "label_malignancy" else (1, RATING_MAXIMUM[name])
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"{path}, line {line}: {name} is not a number from {low} to {high}, but {text!r}")
    return value


def patient_name(header: SliceHeader | Owner) -> str:
    """LIDC-IDRI's public patient ids as they are; any other patient under the first digits of a hash."""
    if _LIDC_PATIENT.fullmatch(header.patient_id):
        return header.patient_id
    return f"patient-{_short(header.patient_id or header.study_uid)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
