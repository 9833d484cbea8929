"""Rows of the manifest from points with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ctxai.annotations.base import AnnotatedNodule, CTDescription
from ctxai.errors import InputError
from ctxai.lidc.cohort import RATING_MAXIMUM, USED, load_rules, malignancy_label, patient_folds
from ctxai.lidc.database import RATINGS

#: How people and programs write that there is no label.
_NO_LABEL = {"", "na", "n/a", "nan", "none", "null"}


def point_rows(nodules: Sequence[AnnotatedNodule], cts: Sequence[CTDescription]) -> pd.DataFrame:
    """Rows of nodules without readers; the same columns as a nodule of LIDC-IDRI has.

    The column ``label_malignancy`` (0 or 1) and ratings such as ``malignancy`` or ``spiculation`` (on LIDC's scales)
    are taken as labels. Patients with a rating of malignancy get folds, where there are enough of them: the same under
    every key of pseudonyms.

    Args:
        nodules: each with the series that it belongs to.
        cts: those series.

    Raises:
        InputError: when a label is out of its range.
    """
    by_uid = {ct.series_uid: ct for ct in cts}
    owners = [by_uid[str(nodule.series_uid)] for nodule in nodules]
    table = pd.DataFrame([_row(nodule, ct.patient) for nodule, ct in zip(nodules, owners, strict=True)])
    status = np.where(table.malignancy_mean.notna(), USED, "unrated")
    grouped = table.assign(status=status, patient_id=[ct.owner for ct in owners])
    return table.assign(fold=patient_folds(grouped, load_rules()))


def _row(nodule: AnnotatedNodule, patient: str) -> dict[str, object]:
    if nodule.centre_lps is None:
        raise InputError(f"{nodule.origin}: {nodule.nodule_id} has no position")
    label = _labels(nodule)
    row: dict[str, object] = {
        "nodule_id": nodule.nodule_id,
        "patient_id": patient,
        "series_uid": nodule.series_uid,
        "n_readers": 0 if nodule.mask is None else 1,
        "diameter_mm": float("nan") if nodule.diameter_mm is None else nodule.diameter_mm,
        **dict(zip("xyz", (round(float(value), 4) for value in nodule.centre_lps), strict=True)),
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


def _labels(nodule: AnnotatedNodule) -> Mapping[str, float]:
    """Labels of a point, by name."""
    return {
        name: _label(nodule.origin, name, nodule.columns[name.lower()])
        for name in ("label_malignancy", *RATING_MAXIMUM)
        if nodule.columns.get(name.lower(), "").lower() not in _NO_LABEL
    }


def _label(origin: str, name: str, text: str) -> float:
    low, high = (0, 1) if name == "label_malignancy" else (1, RATING_MAXIMUM[name])
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{origin}: {name} is not a number from {low} to {high}")
    return value
