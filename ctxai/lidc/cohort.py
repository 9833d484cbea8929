"""Which nodules of LIDC-IDRI are used, with which labels, in which fold: the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml

from ctxai.errors import InputError
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import MAX_READERS, RATINGS, LidcDatabase, Nodule, Scan
from ctxai.resources import resource

USED = "used"
#: Highest value of each rating; lower ones begin at 1.
RATING_MAXIMUM = {name: 6 if name == "calcification" else 4 if name == "internalStructure" else 5 for name in RATINGS}


@dataclass(frozen=True)
class CohortRules:
    """Conditions under which a nodule is usable, as data.

    Attributes:
        name: name of the cohort.
        min_readers: readers that must have outlined the nodule.
        max_slice_thickness_mm: thicker scans are not used; None uses all.
        exclude_undecided: leave out nodules with a median malignancy of 3.
        fold_unit: ``patient``: all nodules of a patient share a fold. ``nodule``: folds are drawn by nodule, as a
            published recipe did; patients then lie on both sides of a split, and its figures are too good.
        folds: number of folds.
        seed: of the folds.
    """

    name: str = "default"
    min_readers: int = 3
    max_slice_thickness_mm: float | None = None
    exclude_undecided: bool = False
    fold_unit: Literal["patient", "nodule"] = "patient"
    folds: int = 5
    seed: int = 0


def load_rules(cohort: str = "default") -> CohortRules:
    """Rules of a cohort.

    Args:
        cohort: name of a bundled ``configs/cohort-NAME.yaml``, or path of such a file.

    Raises:
        InputError: when there is no such file, or it has other keys than :class:`CohortRules`.
    """
    path = Path(cohort) if cohort.endswith((".yaml", ".yml")) else resource("configs", f"cohort-{cohort}.yaml")
    if not path.is_file():
        raise InputError(f"{path}: no such cohort file")
    values = yaml.safe_load(path.read_text())
    known = {field.name for field in fields(CohortRules)}
    if not isinstance(values, dict) or not set(values) <= known:
        raise InputError(f"{path}: a cohort file has the keys {', '.join(sorted(known))}; found {values!r}")
    if values.get("fold_unit", "patient") not in ("patient", "nodule"):
        raise InputError(f"{path}: fold_unit is {values['fold_unit']!r}, expected patient or nodule")
    return CohortRules(**values)


def malignancy_label(median_rating: float) -> float:
    """1 (malignant) above a median rating of 3, 0 (benign) below, NaN for the undecided 3."""
    return float("nan") if median_rating == 3 else float(median_rating > 3)


def nodule_rows(nodules: Iterable[Nodule], rules: CohortRules) -> pd.DataFrame:
    """One row per nodule: where it is, what the readers said, and whether the cohort uses it.

    Positions are those the database can know: row and column as pixel indices, z in LPS mm; x and y need the images.
    Ratings out of their range are left out of means and medians but kept in the ``*_ratings`` columns. Folds are drawn
    by patient over the used nodules, stratified by label where there are enough; other nodules follow their patient.
    """
    table = pd.DataFrame([_row(nodule, rules) for nodule in nodules])
    table["fold"] = patient_folds(table, rules) if rules.fold_unit == "patient" else nodule_folds(table, rules)
    return table


def patient_folds(table: pd.DataFrame, rules: CohortRules) -> pd.Series:
    """Fold of each row, by patient; -1 for patients without a used nodule, or where there are too few patients."""
    used = table[table.status == USED]
    fold_of_patient: dict[str, int] = {}
    if used.patient_id.nunique() >= rules.folds:
        strata = used.label_malignancy.fillna(2).astype(int)
        if strata.value_counts().min() < rules.folds:
            strata[:] = 0  # too few of a kind for every fold to get one
        from sklearn.model_selection import StratifiedGroupKFold  # here, because workers that ingest do without it

        splitter = StratifiedGroupKFold(rules.folds, shuffle=True, random_state=rules.seed)
        for fold, (_, test) in enumerate(splitter.split(used, strata, used.patient_id)):
            fold_of_patient |= dict.fromkeys(used.patient_id.iloc[test], fold)
    return table.patient_id.map(fold_of_patient).fillna(-1).astype(int)


def nodule_folds(table: pd.DataFrame, rules: CohortRules) -> pd.Series:
    """Fold of each row, by nodule and stratified by label, whatever its patient; -1 for nodules that are not used."""
    folds = pd.Series(-1, index=table.index)
    used = table[table.status == USED]
    if len(used) >= rules.folds:
        from sklearn.model_selection import StratifiedKFold

        strata = used.label_malignancy.fillna(2).astype(int)
        splitter = StratifiedKFold(rules.folds, shuffle=True, random_state=rules.seed)
        for fold, (_, test) in enumerate(splitter.split(used, strata)):
            folds[used.index[test]] = fold
    return folds


def reading_rows(nodules: Iterable[Nodule], status_of_nodule: dict[str, str]) -> pd.DataFrame:
    """One row per reading, with its ratings and why it is not used, if it is not."""
    return pd.DataFrame(
        [
            {
                "reading_id": reading.reading_id,
                "nodule_id": nodule.nodule_id,
                "patient_id": nodule.scan.patient_id,
                "series_uid": nodule.scan.series_uid,
                "diameter_mm": round(reading.diameter_mm, 3),
                "contours": len(reading.contours),
                **reading.ratings,
                "status": _reading_status(reading.ratings, status_of_nodule[nodule.nodule_id]),
            }
            for nodule in nodules
            for reading in nodule.readings
        ]
    ).sort_values("reading_id", ignore_index=True)


def scan_rows(scans: Iterable[Scan], nodules: Iterable[Nodule]) -> pd.DataFrame:
    """One row per scan, with the geometry that the database knows."""
    counts = pd.Series([nodule.scan.scan_id for nodule in nodules], dtype=int).value_counts()
    return pd.DataFrame(
        [
            {
                "scan_id": scan.scan_id,
                "patient_id": scan.patient_id,
                "study_uid": scan.study_uid,
                "series_uid": scan.series_uid,
                "slices": len(scan.slice_z_mm),
                "first_z_mm": scan.slice_z_mm[0],
                "last_z_mm": scan.slice_z_mm[-1],
                "slice_spacing_mm": round(scan.slice_spacing_mm, 4),
                "slice_thickness_mm": scan.slice_thickness_mm,
                "pixel_spacing_mm": scan.pixel_spacing_mm,
                "contrast_used": int(scan.contrast_used),
                "is_from_initial": int(scan.is_from_initial),
                "nodules": int(counts.get(scan.scan_id, 0)),
            }
            for scan in scans
        ]
    )


def build_manifest(
    database: LidcDatabase, rules: CohortRules, scans: Iterable[Scan] | None = None
) -> dict[str, pd.DataFrame]:
    """The tables ``scans``, ``nodules``, ``readings`` and ``folds`` of a cohort."""
    scans = tuple(database.scans if scans is None else scans)
    nodules = tuple(database.all_nodules(scans))
    table = nodule_rows(nodules, rules)
    status = dict(zip(table.nodule_id, table.status, strict=True))
    return {
        "scans": scan_rows(scans, nodules),
        "nodules": table.drop(columns="fold"),
        "readings": reading_rows(nodules, status),
        "folds": table.loc[table.fold >= 0, ["nodule_id", "patient_id", "fold"]].reset_index(drop=True),
    }


def _row(nodule: Nodule, rules: CohortRules) -> dict[str, object]:
    centre = reader_masks(nodule).centre_index()
    lower = int(np.floor(centre[0]))
    z = np.interp(centre[0], [lower, lower + 1], nodule.scan.slice_z_mm[[lower, min(lower + 1, _last(nodule))]])
    row: dict[str, object] = {
        "nodule_id": nodule.nodule_id,
        "patient_id": nodule.scan.patient_id,
        "scan_id": nodule.scan.scan_id,
        "series_uid": nodule.scan.series_uid,
        "n_readers": len(nodule.readings),
        "reading_ids": "|".join(str(reading.reading_id) for reading in nodule.readings),
        "centre_row": float(centre[1]),
        "centre_column": float(centre[2]),
        "centre_z_mm": round(float(z), 4),
        "diameter_mm": round(nodule.diameter_mm, 3),
    }
    for name in RATINGS:
        ratings = nodule.ratings(name)
        valid = [value for value in ratings if 1 <= value <= RATING_MAXIMUM[name]]
        row[f"{name}_ratings"] = "|".join(map(str, ratings))
        row[f"{name}_mean"] = round(float(np.mean(valid)), 4) if valid else float("nan")
        row[f"{name}_sd"] = round(float(np.std(valid)), 4) if valid else float("nan")
    median = float(np.median(nodule.ratings("malignancy")))
    row["malignancy_median"] = median
    row["label_malignancy"] = malignancy_label(median)
    row["status"] = _status(nodule, rules)
    return row


def _last(nodule: Nodule) -> int:
    return len(nodule.scan.slice_z_mm) - 1


def _status(nodule: Nodule, rules: CohortRules) -> str:
    """Why the cohort does not use the nodule, or ``used``; undecided malignancy is used, its label is empty."""
    if nodule.ambiguous:
        return f"more than {MAX_READERS} readings cannot be told apart"
    if len(nodule.readings) < rules.min_readers:
        return f"fewer than {rules.min_readers} readers"
    limit = rules.max_slice_thickness_mm
    if limit is not None and nodule.scan.slice_thickness_mm > limit:
        return f"slices thicker than {limit:g} mm"
    if rules.exclude_undecided and np.median(nodule.ratings("malignancy")) == 3:
        return "median malignancy is 3"
    return USED


def _reading_status(ratings: Mapping[str, int], nodule_status: str) -> str:
    wrong = [f"{name}={value}" for name, value in ratings.items() if not 1 <= value <= RATING_MAXIMUM[name]]
    return f"rating out of range: {', '.join(wrong)}" if wrong else nodule_status
