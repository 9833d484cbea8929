"""LIDC-IDRI for ingestion: the manifest's rows beside the readers' outlines."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ctxai.lidc.cohort import USED, build_manifest, load_rules
from ctxai.lidc.database import LidcDatabase, Nodule
from ctxai.resources import resource


def load_tables(cohort: str = "default") -> dict[str, pd.DataFrame]:
    """The tables ``scans``, ``nodules``, ``readings`` and ``folds`` of a cohort.

    The default cohort is read from ``data_manifests``; any other is built from the database.
    """
    if cohort != "default":
        return build_manifest(LidcDatabase(), load_rules(cohort))
    return {
        name: pd.read_csv(
            resource("data_manifests", f"{name}.csv"), dtype=_text_columns() if name == "nodules" else None
        )
        for name in ("scans", "nodules", "readings", "folds")
    }


def used_rows(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The used nodules with their labels and folds, in the manifest's order."""
    nodules = tables["nodules"]
    used = nodules[nodules.status == USED].drop(columns="status")
    return used.merge(tables["folds"][["nodule_id", "fold"]], on="nodule_id", how="left", validate="one_to_one")


def load_manifest(cohort: str = "default") -> pd.DataFrame:
    """:func:`used_rows` of a cohort."""
    return used_rows(load_tables(cohort))


def nodules_by_series(
    series_uids: Iterable[str], database: LidcDatabase | None = None
) -> dict[str, tuple[Nodule, ...]]:
    """Every nodule that LIDC-IDRI's readers outlined, for those of the series that belong to it."""
    database = database or LidcDatabase()
    return {uid: database.nodules(database.by_series[uid]) for uid in series_uids if uid in database.by_series}


def outlines_covered(nodule: Nodule, slice_z_mm: np.ndarray) -> bool:
    """Whether every outline of the nodule lies on a slice of the series (within half a slice distance)."""
    z = np.array([contour.z_mm for reading in nodule.readings for contour in reading.contours])
    reach = np.median(np.diff(slice_z_mm)) / 2 + 1e-3
    return bool((np.abs(slice_z_mm[None, :] - z[:, None]).min(axis=1) <= reach).all())


def _text_columns() -> dict[str, type]:
    """Columns like ``5|5|4|4``, which a single reading would turn into numbers."""
    header = pd.read_csv(resource("data_manifests", "nodules.csv"), nrows=0).columns
    return {name: str for name in header if name.endswith(("_ratings", "_ids", "_uid"))}
