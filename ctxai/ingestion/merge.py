"""``ctxai ingest --merge``: the store's table out of the parts of all series, with its report."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ctxai.data.store import ARRAYS, NoduleStore
from ctxai.errors import StoreError
from ctxai.files import sweep, write_text
from ctxai.ingestion.bookkeeping import KNOWN, MANIFEST, PAGE, PARTS, REPORT, read_manifest
from ctxai.lidc.annotations import load_tables
from ctxai.lidc.quality import QualityIssue
from ctxai.progress import console


def merge_parts(store_dir: Path, page: bool = False) -> None:
    """Write ``nodules.parquet`` and ``report.csv`` from the manifest and the part of every series.

    What killed runs left is removed, and what is in the store is printed.

    Args:
        store_dir: the store.
        page: write ``report.html``, too.

    Raises:
        StoreError: when no ingestion was begun there, or a series is missing.
    """
    manifest = store_dir / MANIFEST
    if not manifest.is_file():
        raise StoreError(f"{store_dir}: no ingestion was begun here (no {MANIFEST})")
    _sweep(store_dir)
    rows = read_manifest(store_dir)
    records = [
        record
        for part in sorted((store_dir / PARTS).glob("[!.]*.json"))
        for record in json.loads(part.read_text())["rows"]
    ]
    done = pd.DataFrame(records).set_index("row").sort_index() if records else pd.DataFrame()
    if len(done) != len(rows):
        missing = rows[~rows.index.isin(done.index)].series_uid.nunique()
        raise StoreError(f"{store_dir}: {missing} series are not ingested yet; run the remaining shards, then merge")
    table = rows.drop(columns=[name for name in ("x", "y", "z") if name in rows]).join(done)
    NoduleStore(store_dir).write_table(table)
    _write_report(store_dir, table)
    if page:
        _write_page(store_dir, table)
    _print_summary(store_dir, table)


def _print_summary(store_dir: Path, table: pd.DataFrame) -> None:
    fine = table.fault == ""
    labels = table.label_malignancy[fine]
    console.print(
        f"{len(table)} nodules of {table.patient_id.nunique()} patients -> {store_dir}\n"
        f"  {int(fine.sum())} usable: rated malignant {int((labels == 1).sum())}, benign {int((labels == 0).sum())}, "
        f"undecided {int(labels.isna().sum())}",
        highlight=False,
        soft_wrap=True,
    )
    for fault, number in table.fault[~fine].value_counts().items():
        console.print(f"  {number} not usable: {fault}", highlight=False, markup=False, soft_wrap=True)


def _write_report(store_dir: Path, table: pd.DataFrame) -> None:
    """``report.csv``: what was known before, then what each nodule's voxels showed."""
    known = pd.read_csv(store_dir / KNOWN, dtype=str, keep_default_na=False)
    found = []
    told = set(zip(known.series_uid, known.name, strict=True))
    for row in table.to_dict("records"):
        place = (row["patient_id"], row["series_uid"], row["nodule_id"])
        if row["fault"]:
            name, _, detail = row["fault"].partition(": ")
            found.append(QualityIssue(*place, name, detail, "refused"))
        found += [
            QualityIssue(*place, name, "in the slices of this nodule")
            for name in filter(None, row["repairs"].split("; "))
            if (row["series_uid"], name) not in told
        ]
    report = pd.concat([known, pd.DataFrame([asdict(issue) for issue in found], columns=known.columns)])
    write_text(store_dir / REPORT, report.to_csv(index=False, lineterminator="\n"))


def _write_page(store_dir: Path, table: pd.DataFrame) -> None:
    """``report.html``."""
    from ctxai.report.ingestion import write_ingestion_report

    usable = table[table.fault == ""]
    flow = [
        ("scans with a nodule of the cohort", table.series_uid.nunique()),
        ("nodules of the cohort", len(table)),
        ("usable nodules", len(usable)),
        ("of them with a label", int(usable.label_malignancy.notna().sum())),
    ]
    if "scan_id" in table:
        tables = load_tables()
        outlined = ("nodules outlined in LIDC-IDRI", len(tables["nodules"]))
        flow = [("scans in LIDC-IDRI", len(tables["scans"])), outlined, *flow]
    report = pd.read_csv(store_dir / REPORT, dtype=str, keep_default_na=False)
    write_ingestion_report(store_dir / PAGE, NoduleStore(store_dir), report, flow)


def _sweep(store_dir: Path) -> None:
    """Remove what killed runs left: files and folders under temporary names."""
    sweep(store_dir)
    sweep(store_dir / PARTS)
    for stale in (store_dir / ARRAYS).rglob("*.partial"):  # zarr's own
        stale.unlink(missing_ok=True)
    for folder in store_dir.glob(".partial.*"):
        shutil.rmtree(folder, ignore_errors=True)
