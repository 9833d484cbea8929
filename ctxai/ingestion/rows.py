"""Rows of the manifest from points with labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ctxai.annotations.base import AnnotatedNodule, CTDescription
from ctxai.errors import InputError
from ctxai.ingestion.labels import KEY_COLUMNS, NO_LABEL, numeric, rating_or_label
from ctxai.lidc.cohort import RATING_MAXIMUM, USED, load_rules, malignancy_label, patient_folds
from ctxai.lidc.database import RATINGS

#: Columns of points that are no labels.
_NO_TARGET = {
    *"xyzlpsra",
    "nodule_id",
    "series_uid",
    "diameter_mm",
    "label",
    "defined",
    "selected",
    "visible",
    "locked",
}

logger = logging.getLogger(__name__)


def point_rows(nodules: Sequence[AnnotatedNodule], cts: Sequence[CTDescription]) -> pd.DataFrame:
    """Rows of nodules without readers; the same columns as a nodule of LIDC-IDRI has.

    The column ``label_malignancy`` (0 or 1) and ratings such as ``malignancy`` or ``spiculation`` (on LIDC's scales)
    are taken as labels, and columns of other numbers under their own names. Labelled patients get folds, where there
    are enough of them; a column ``fold`` is taken as it is.

    Args:
        nodules: each with the series that it belongs to.
        cts: those series.

    Raises:
        InputError: when a label is out of its range.
    """
    by_uid = {ct.series_uid: ct for ct in cts}
    owners = [by_uid[str(nodule.series_uid)] for nodule in nodules]
    table = pd.DataFrame([_row(nodule, ct.patient) for nodule, ct in zip(nodules, owners, strict=True)])
    own = _own_columns(nodules)
    fold = own.pop("fold", None)
    own = {name: values for name, values in own.items() if name not in table.columns}
    table = table.assign(**own)
    if fold is not None:
        return table.assign(fold=pd.Series(fold).fillna(-1).astype(int))
    return table.assign(fold=folds_of(table, [ct.owner for ct in owners], [*own]))


def folds_of(table: pd.DataFrame, owners: Sequence[str], own: Sequence[str] = ()) -> pd.Series:
    """Folds of labelled rows by patient, the same under every key of pseudonyms.

    Args:
        table: the rows.
        owners: PatientID of each.
        own: columns with labels of the user's.
    """
    labels = ["label_malignancy", *(f"{name}_mean" for name in RATINGS), *own]
    status = np.where(table[labels].notna().any(axis=1), USED, "unlabelled")
    return patient_folds(table.assign(status=status, patient_id=list(owners)), load_rules())


def _own_columns(nodules: Sequence[AnnotatedNodule]) -> dict[str, list[float]]:
    """Columns of numbers that the source has beside the positions; others are told, because texts may name anyone."""
    known = {*_NO_TARGET, "label_malignancy", *(name.lower() for name in RATING_MAXIMUM)}
    names = list(dict.fromkeys(name for nodule in nodules for name in nodule.columns if name not in known))
    found, left = {}, []
    for name in names:
        values = numeric([nodule.columns.get(name, "") for nodule in nodules])
        if name in KEY_COLUMNS:
            continue
        if values is None or not name.isidentifier():
            left.append(name)
        else:
            found[name] = values
    if left:
        logger.warning(
            "columns that are no numbers are left out: %s; give labels by name with --labels", ", ".join(left)
        )
    return found


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
        name: rating_or_label(nodule.origin, name, nodule.columns[name.lower()])
        for name in ("label_malignancy", *RATING_MAXIMUM)
        if nodule.columns.get(name.lower(), "").lower() not in NO_LABEL
    }
