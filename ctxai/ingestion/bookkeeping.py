"""Files of ``ctxai ingest`` beside a store's voxels: the manifest, earlier results, a file per series."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.header import series_key
from ctxai.data.store import ARRAYS, LAYOUT, TABLE, NoduleStore
from ctxai.errors import StoreError
from ctxai.files import write_json, write_text
from ctxai.folder_kinds import STORE, refuse_foreign, refuse_to_lose
from ctxai.lidc.quality import QualityIssue

#: The rows of the manifest that a store is made of, in its order.
MANIFEST = "manifest.csv"
#: Which faults of a series were repaired.
RULES = "rules.json"
#: One file per finished series.
PARTS = "parts"
#: What was known before a voxel was read.
KNOWN = "issues.csv"
#: That, and what each nodule's voxels showed.
REPORT = "report.csv"
#: The same to look at.
PAGE = "report.html"

_FILES = re.compile(
    "|".join(map(re.escape, (MANIFEST, RULES, KNOWN, REPORT, PAGE, TABLE, LAYOUT)))
    + rf"|{PARTS}/[0-9a-f]+\.json|{re.escape(ARRAYS)}/.+"
)
_TEXTS = ("nodule_id", "patient_id", "series_uid", "reading_ids")


def begin(
    store_dir: Path, rows: pd.DataFrame, issues: Sequence[QualityIssue], overwrite: bool, rules: GeometryRules
) -> None:
    """Write the manifest, what is known, and the empty store, where they are not there yet.

    Args:
        store_dir: the store.
        rows: the manifest.
        issues: what is known before a voxel is read.
        overwrite: empty a store that was begun with another manifest or other rules.
        rules: which faults are repaired.

    Raises:
        StoreError: when the store was begun with another manifest or other rules, or by another command.
        InputError: when files of somebody else are there.
    """
    manifest = rows.to_csv(index=False, lineterminator="\n")
    refuse_foreign(store_dir, STORE, (KNOWN, REPORT, PAGE, TABLE))
    if (store_dir / LAYOUT).is_file() and not (store_dir / MANIFEST).is_file():
        raise StoreError(f"{store_dir}: holds a store that `ctxai ingest` has not begun; give an empty folder")
    if overwrite:
        _empty(store_dir, manifest, rules)
    check_rules(store_dir, rules)
    _write_once(store_dir / MANIFEST, manifest)
    write_json(store_dir / RULES, _as_json(rules))
    NoduleStore.create(store_dir, len(rows))
    write_findings(store_dir / KNOWN, issues)


def write_findings(path: Path, issues: Sequence[QualityIssue]) -> None:
    """Write issues as CSV."""
    columns = [field.name for field in fields(QualityIssue)]
    table = pd.DataFrame([asdict(issue) for issue in issues], columns=columns)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_manifest(store_dir: Path) -> pd.DataFrame:
    """The manifest's rows as they were before they were written."""
    texts = dict.fromkeys(_TEXTS, str)  # "007" is no number, and "NA" a name
    rows = pd.read_csv(store_dir / MANIFEST, dtype=texts, keep_default_na=False, na_values=[""])
    for name in rows.columns[rows.columns.str.endswith("_ratings")]:
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "").astype(str)
    return rows


def part_of(store_dir: Path, series_uid: str) -> Path:
    """The file that says that a series is in the store, and what it was made from."""
    return store_dir / PARTS / f"{series_key(series_uid)}.json"


def check_rules(store_dir: Path, rules: GeometryRules) -> None:
    """Refuse rules that are not those of a store that is begun: its patches would be lost.

    Raises:
        StoreError: naming both.
    """
    path = store_dir / RULES
    if path.is_file() and (found := json.loads(path.read_text(encoding="utf-8"))) != (given := _as_json(rules)):
        raise StoreError(
            f"{store_dir}: was begun with other rules (found {_as_options(found)}, given {_as_options(given)}); give "
            "an empty folder, or --overwrite"
        )


def _as_json(rules: GeometryRules) -> dict[str, Any]:
    plain: dict[str, Any] = {"repair": sorted(map(str, rules.repair)), "max_gap_mm": float(rules.max_gap_mm)}
    return plain | ({"acquisitions": [*rules.acquisitions]} if rules.acquisitions else {})


def _as_options(rules: dict[str, Any]) -> str:
    """Rules as ``ctxai ingest`` takes them."""
    repair = " ".join(name.replace(" ", "-") for name in rules["repair"])
    chosen = " --acquisition " + " ".join(rules["acquisitions"]) if rules.get("acquisitions") else ""
    return f"--repair {repair or '[]'} --max_gap_mm {rules['max_gap_mm']:g}{chosen}"


def _empty(store_dir: Path, manifest: str, rules: GeometryRules) -> None:
    """Remove everything of a store that was begun otherwise; the manifest and the rules, which tell, last."""
    path = store_dir / MANIFEST
    if not path.is_file():
        return
    if path.read_bytes().partition(b"\n")[0] != manifest.encode().partition(b"\n")[0]:
        raise StoreError(f"{path}: is not a manifest of `ctxai ingest`; give an empty folder")
    try:
        check_rules(store_dir, rules)
    except StoreError:
        pass
    else:
        if path.read_bytes() == manifest.encode():
            return
    refuse_to_lose(store_dir, _FILES)
    for name in (TABLE, LAYOUT, REPORT, PAGE, KNOWN):
        (store_dir / name).unlink(missing_ok=True)
    for name in (ARRAYS, PARTS):
        shutil.rmtree(store_dir / name, ignore_errors=True)
    (store_dir / RULES).unlink(missing_ok=True)
    path.unlink()


def _write_once(path: Path, text: str) -> None:
    if path.is_file() and path.read_bytes() != text.encode():
        raise StoreError(
            f"{path.parent}: was begun with another cohort, other patients or another --key; give an empty folder, or "
            "--overwrite"
        )
    if not path.is_file():
        write_text(path, text)
