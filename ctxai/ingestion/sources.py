"""Where ingestion's nodules come from: LIDC-IDRI's database, its XML files, points in any CT, LUNA16."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.header import SliceHeader
from ctxai.ct.points import COLUMNS, Point, read_points
from ctxai.ct.slice_sorting import stack
from ctxai.ct.spreadsheet import read_table
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError
from ctxai.ingestion.extraction import Source
from ctxai.lidc.annotations import load_tables, nodules_by_series, used_rows
from ctxai.lidc.cohort import RATING_MAXIMUM, USED, load_rules, malignancy_label, nodule_rows, patient_folds
from ctxai.lidc.database import RATINGS, Nodule
from ctxai.lidc.quality import QualityIssue, known_faults
from ctxai.lidc.xml import nodules_from_xml, read_xml

#: How people and programs write that there is no label.
_NO_LABEL = {"", "na", "n/a", "nan", "none", "null"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class IngestPlan:
    """What is to be ingested.

    Attributes:
        rows: the manifest: one row per nodule, its number is its place in the store.
        sources: the CT of each Series Instance UID.
        nodules: outlined nodules by Series Instance UID; none for points.
        issues: what is known before a voxel is read.
    """

    rows: pd.DataFrame
    sources: Mapping[str, Source]
    nodules: Mapping[str, tuple[Nodule, ...]] = field(default_factory=dict)
    issues: tuple[QualityIssue, ...] = ()


def from_database(
    series: Mapping[str, list[SliceHeader]], cohort: str, patients: list[str] | None, place: Path
) -> IngestPlan:
    """The cohort's nodules whose series are there.

    Raises:
        InputError: when none of them is.
    """
    tables = load_tables(cohort)
    rows = used_rows(tables)
    rows = rows[rows.series_uid.isin(series.keys())]
    scans = tables["scans"]
    found = scans[scans.series_uid.isin(series.keys())]
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
        raise InputError(
            f"{place}: none of its {len(series)} CT series holds a nodule of the cohort {cohort!r}; "
            "for a CT of your own mark its nodules and give them with --points"
        )
    nodules = nodules_by_series(found.series_uid)
    issues += known_faults(tables, found.series_uid, nodules)
    return IngestPlan(rows, series, nodules, tuple(issues))


def from_xml(
    series: Mapping[str, list[SliceHeader]], xml: Path, cohort: str, rules: GeometryRules, names: Pseudonymizer
) -> IngestPlan:
    """The nodules of LIDC's XML files, by the rules of a cohort.

    Raises:
        InputError: when no file belongs to one of the series, or one is damaged.
    """
    if not xml.exists():
        raise InputError(f"{xml}: no such file; give LIDC's XML annotation, or a folder of them")
    files = sorted(xml.rglob("*.xml")) if xml.is_dir() else [xml]
    annotations = {annotation.series_uid: annotation for annotation in map(read_xml, files)}
    nodules: dict[str, tuple[Nodule, ...]] = {}
    issues = []
    for uid in series.keys() & annotations.keys():
        found = stack(series[uid], rules)
        patient = names(series[uid][0])
        try:
            nodules[uid] = nodules_from_xml(annotations[uid], found, patient)
        except InputError as error:
            logger.warning("left out: %s", error)
            text = str(error).removeprefix(f"{series[uid][0].source_label}: ")
            issues.append(QualityIssue(patient, uid, "", "outlines do not fit", text, "refused"))
    everything = [nodule for uid in sorted(nodules) for nodule in nodules[uid]]
    if not everything:
        raise InputError(f"{xml}: none of its {len(files)} file(s) outlines a nodule in the {len(series)} CT series")
    rows = nodule_rows(everything, load_rules(cohort))
    issues += [
        QualityIssue(row.patient_id, row.series_uid, row.nodule_id, row.status, "not in the cohort", "excluded")
        for row in rows[rows.status != USED].itertuples()
    ]
    rows = rows[rows.status == USED].drop(columns="status").reset_index(drop=True)
    return IngestPlan(rows, series, nodules, tuple(issues))


def from_points(series: Mapping[str, list[SliceHeader]], path: Path, names: Pseudonymizer) -> IngestPlan:
    """Points in any CT; labels are optional.

    Beside the columns that :func:`ctxai.ct.points.read_points` knows, ``label_malignancy`` (0 or 1) and ratings such
    as ``malignancy`` or ``spiculation`` (on LIDC's scales) are taken. Patients with a rating of malignancy get folds,
    where there are enough of them: the same under every key.

    Raises:
        InputError: when a point names no series that is there, or a label is out of its range.
    """
    points = read_points(path)
    labels = _labels(path, points)
    only = next(iter(series)) if len(series) == 1 else None
    rows, owners = [], []
    for point, label in zip(points, labels, strict=True):
        uid = point.series_uid or only
        if uid is None or uid not in series:
            wanted = "has no series_uid" if uid is None else f"names the series {uid}"
            raise InputError(f"{path}: {point.nodule_id} {wanted}; expected one of the {len(series)} series found")
        image = series[uid][0]
        rows.append(_point_row(point, uid, names(image), label))
        owners.append(image.patient_id or image.study_uid)
    table = pd.DataFrame(rows)
    status = np.where(table.malignancy_mean.notna(), USED, "unrated")
    folds = patient_folds(table.assign(status=status, patient_id=owners), load_rules())
    return IngestPlan(table.assign(fold=folds), series)


def from_luna(folder: Path) -> IngestPlan:
    """LUNA16: MetaImage files named by Series Instance UID, beside ``annotations.csv``.

    Raises:
        InputError: when the annotations, or all of the files that they name, are missing, or a line is damaged.
    """
    table = folder / "annotations.csv"
    files = {path.stem: path for path in sorted(folder.rglob("*.mhd"))}
    if not table.is_file():
        raise InputError(f"{table}: no such file; expected LUNA16's annotations beside its subset folders")
    points: dict[str, list[Point]] = {}
    for line, row in read_table(table, "seriesuid,coordX,coordY,coordZ,diameter_mm")[1]:
        uid = row.get("seriesuid", "")
        if uid in files:
            # The running number is LUNA's own: its nodules are not numbered as LIDC's.
            name = f"luna-{_short(uid)}-{len(points.setdefault(uid, [])) + 1:02d}"
            points[uid].append(_luna_point(f"{table}, line {line}", name, uid, row))
    if not points:
        raise InputError(f"{folder}: none of its {len(files)} .mhd file(s) is named in {table.name}")
    scans = load_tables()["scans"].set_index("series_uid").patient_id
    rows = [
        _point_row(point, uid, scans.get(uid) or f"luna-{_short(uid)}", {})
        for uid, marked in points.items()
        for point in marked
    ]
    return IngestPlan(pd.DataFrame(rows), files)


def _luna_point(place: str, nodule_id: str, uid: str, row: Mapping[str, str]) -> Point:
    try:
        lps = np.array([float(row[name]) for name in ("coordx", "coordy", "coordz")])
        diameter = float(row["diameter_mm"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{place}: expected numbers as coordX, coordY, coordZ, diameter_mm ({error})") from None
    if not np.isfinite([*lps, diameter]).all():
        raise InputError(f"{place}: expected finite numbers, found {lps.tolist()} and {diameter}")
    return Point(nodule_id, lps, uid, diameter)


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
    return [
        {
            name: _label(path, line, name, row[name.lower()])
            for name in ("label_malignancy", *RATING_MAXIMUM)
            if row.get(name.lower(), "").lower() not in _NO_LABEL
        }
        for line, row in read_table(path, COLUMNS)[1]
    ]


def _label(path: Path, line: int, name: str, text: str) -> float:
    low, high = (0, 1) if name == "label_malignancy" else (1, RATING_MAXIMUM[name])
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{path}, line {line}: {name} is not a number from {low} to {high}")
    return value


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
