"""Labels of nodules from a table of the user's, and columns of the user's beside points."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.annotations.luna16 import short_key
from ctxai.annotations.spreadsheet import read_table
from ctxai.errors import InputError
from ctxai.lidc.cohort import RATING_MAXIMUM, malignancy_label

#: How people and programs write that there is no label.
NO_LABEL = {"", "na", "n/a", "nan", "none", "null"}
#: Columns that say whose a row is, by the column of the manifest that they name.
_KEYS = {
    "nodule_id": ("nodule_id", "nodule"),
    "series_uid": ("series_uid", "seriesinstanceuid", "seriesuid"),
    "patient_id": ("patient_id", "patientid", "patient"),
}
KEY_COLUMNS = frozenset(name for names in _KEYS.values() for name in names)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_EXPECTED = "nodule_id, PatientID or series_uid, and a column a label"
#: More kinds than any label by name has.
_MOST_CLASSES = 50

logger = logging.getLogger(__name__)


def key_column(columns: Iterable[str], key: str) -> str | None:
    """The column that names the nodule, the series or the patient; None where there is none."""
    return next((name for name in columns if name.replace(" ", "") in _KEYS[key]), None)


def numeric(texts: Sequence[str]) -> list[float] | None:
    """Numbers of a column, NaN where it is empty; None where a value is no finite number, or all are empty."""
    numbers = []
    for text in texts:
        if text.strip().lower() in NO_LABEL:
            numbers.append(float("nan"))
            continue
        try:
            numbers.append(float(text))
        except ValueError:
            return None
    return None if np.isinf(numbers).any() or np.isnan(numbers).all() else numbers


def rating_or_label(origin: str, name: str, text: str) -> float:
    """A label of malignancy (0 or 1), or a rating on LIDC's scales.

    Raises:
        InputError: when it is out of its range.
    """
    low, high = (0, 1) if name == "label_malignancy" else (1, RATING_MAXIMUM[name])
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{origin}: {name} is not a number from {low} to {high}")
    return value


def with_labels(rows: pd.DataFrame, path: Path, owners: Mapping[str, str]) -> pd.DataFrame:
    """The manifest's rows with the labels of a table: one row a nodule, a series or a patient.

    A column ``fold`` is taken as it is; ``label_malignancy`` and LIDC's ratings have their ranges; every other column
    becomes a column of the store under its own name. What was used and what was not is logged.

    Args:
        rows: the manifest.
        path: CSV with nodule_id, series_uid or PatientID, and a column a label.
        owners: PatientID of each Series Instance UID.

    Raises:
        InputError: when no row belongs to a nodule, two rows do, a label is out of its range, or a fold divides a
            patient.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV with {_EXPECTED}")
    columns, table = read_table(path, _EXPECTED)
    keys = {key: name for key in _KEYS if (name := key_column(columns, key))}
    if not keys:
        raise InputError(
            f"{path}: no column says whose a row is; expected {_EXPECTED}; found {', '.join(columns)[:80]}"
        )
    matched = _matches(rows, path, keys, table, owners)
    lines = {line: row for line, row in table}
    rows = rows.copy()
    used, left = [], []
    labels = [name for name in columns if name not in keys.values()]
    for name in labels:
        found = [lines[line][name] if line is not None else "" for line in matched]
        if _add(rows, path, name, found, matched):
            used.append(name)
        else:
            left.append(name)
    used_lines = {line for line in matched if line is not None}
    logger.warning(
        "%s: %d of %d rows used, by %s; columns used: %s; left out: %s",
        *(path, len(used_lines), len(table), ", ".join(keys)),
        *(", ".join(used) or "none", ", ".join(left) or "none"),
    )
    if "fold" in used and (rows[rows.fold >= 0].groupby("patient_id").fold.nunique() > 1).any():
        raise InputError(f"{path}: a patient's nodules are in several folds; give every patient one fold")
    return rows


def _matches(
    rows: pd.DataFrame,
    path: Path,
    keys: Mapping[str, str],
    table: Sequence[tuple[int, dict[str, str]]],
    owners: Mapping[str, str],
) -> list[int | None]:
    """Line of the table for every row of the manifest; a patient is named by PatientID or as the manifest has him."""
    by_key: dict[tuple[str, ...], int] = {}
    for line, row in table:
        key = tuple(row[name].strip() for name in keys.values())
        if not all(key):
            continue
        if key in by_key:
            raise InputError(f"{path}, line {line}: the same {', '.join(keys)} as in line {by_key[key]}")
        by_key[key] = line
    matched: list[int | None] = []
    for nodule in rows[["nodule_id", "series_uid", "patient_id"]].to_dict("records"):
        names = [[str(nodule[key])] for key in keys]
        if "nodule_id" in keys and len(keys) > 1:  # the name that it has within its series
            own = f"{short_key(str(nodule['series_uid']))}-"
            names[list(keys).index("nodule_id")].append(str(nodule["nodule_id"]).removeprefix(own))
        if "patient_id" in keys:
            names[list(keys).index("patient_id")].append(owners.get(str(nodule["series_uid"]), ""))
        matched.append(next((by_key[option] for option in product(*names) if option in by_key), None))
    patients: dict[int, str] = {}
    for found, patient in zip(matched, rows["patient_id"], strict=True):
        if found is not None and patients.setdefault(found, patient) != patient:
            raise InputError(
                f"{path}, line {found}: {', '.join(keys)} names two patients, whose ids have different issuers, say; "
                "name them as the store's manifest does, or by series_uid"
            )
    if all(line is None for line in matched):
        raise InputError(f"{path}: none of its {len(table)} rows names a nodule here by {', '.join(keys)}")
    return matched


def _add(rows: pd.DataFrame, path: Path, name: str, texts: Sequence[str], matched: Sequence[int | None]) -> bool:
    """Put one column of labels into the rows; false for one that holds none."""
    ratings = {rating.lower(): rating for rating in ("label_malignancy", *RATING_MAXIMUM)}
    if name in ratings:
        rating = ratings[name]
        values = [
            float("nan") if text.lower() in NO_LABEL else rating_or_label(f"{path}, line {line}", rating, text)
            for text, line in zip(texts, matched, strict=True)
        ]
        if rating == "label_malignancy":
            rows[rating] = values
            return True
        rows[f"{rating}_mean"] = values
        if rating == "malignancy":
            rows["malignancy_median"] = values
            rows["label_malignancy"] = [float("nan") if np.isnan(v) else malignancy_label(v) for v in values]
        return True
    numbers = numeric(texts)
    if name == "fold":
        if numbers is None or any(number < 0 or number % 1 for number in numbers if not np.isnan(number)):
            raise InputError(f"{path}: fold is not a whole number from 0")
        rows["fold"] = pd.Series(numbers, index=rows.index).fillna(-1).astype(int)
        return True
    if not _NAME.fullmatch(name) or name in rows.columns:
        return False
    if numbers is not None:
        rows[name] = numbers
        return True
    kinds = {text for text in texts if text.lower() not in NO_LABEL}
    if not 1 < len(kinds) <= _MOST_CLASSES:
        return False
    rows[name] = [None if text.lower() in NO_LABEL else text for text in texts]
    return True
