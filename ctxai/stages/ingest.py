"""``ctxai ingest``: nodules cut out of their CT series and put in a nodule store."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.ct.grid import Grid
from ctxai.ct.patch import extract_patch, resample
from ctxai.ct.series import CTSeries, SliceHeader, find_series
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError, StoreError
from ctxai.files import write_json, write_text
from ctxai.lidc.annotations import load_manifest, nodules_by_series, outlines_covered
from ctxai.lidc.consensus import ReaderMasks, reader_masks
from ctxai.lidc.database import Nodule
from ctxai.progress import console, run_jobs
from ctxai.stages.shards import parse_shard

_MANIFEST = "manifest.csv"
_PARTS = "parts"

logger = logging.getLogger(__name__)


def ingest(
    dicom_dir: Path | None = None,
    store_dir: Path | None = None,
    *,
    cohort: str = "default",
    patients: list[str] | None = None,
    shard: str = "0/1",
    merge: Path | None = None,
    crops: Path | None = None,
    workers: int = 0,
    resume: bool = True,
) -> None:
    """Cut every nodule of the cohort out of its CT: 64 mm cubes at 1 mm, beside the readers' agreement.

    The nodules are those of LIDC-IDRI whose series lie under DICOM_DIR, under any file names. A series whose slices are
    not one regular volume is reported and left out; it does not stop the others. A killed run goes on where it stopped
    and ends with the same bytes.

    Args:
        dicom_dir: tree of DICOM files.
        store_dir: the nodule store to write.
        cohort: which nodules are used: a bundled name or a cohort file.
        patients: only these patients.
        shard: i/n, the i-th of n equal parts of the series (0/1 is all); afterwards run ``ctxai ingest --merge``.
        merge: finish the store given here, after all of its shards.
        crops: a collection of 2-D crops (crops.npz, labels.csv) instead of a DICOM tree.
        workers: processes; 0 works in this one.
        resume: leave what is already in the store; false does it again.
    """
    if merge is not None:
        _merge(merge)
        return
    if crops is not None:
        from ctxai.data.crops import import_crops

        import_crops(crops, _required(store_dir or dicom_dir, "STORE_DIR"))
        return
    dicom_dir, store_dir = _required(dicom_dir, "DICOM_DIR"), _required(store_dir, "STORE_DIR")
    index, count = parse_shard(shard)
    damaged: dict[Path, str] = {}
    with console.status("Reading DICOM headers"):
        series = find_series(dicom_dir, damaged)
    for path, reason in damaged.items():
        logger.warning("%s: left out (%s)", path, reason)
    rows = load_manifest(cohort)
    rows = rows[rows.series_uid.isin(series.keys())]
    if patients is not None:
        rows = rows[rows.patient_id.isin(patients)]
    rows = rows.reset_index(drop=True)
    if rows.empty:
        raise InputError(
            f"{dicom_dir}: none of its {len(series)} CT series holds a nodule of the cohort {cohort!r}; "
            "for a CT of your own use `ctxai explain --points`"
        )
    NoduleStore.create(store_dir, len(rows))
    _write_manifest(store_dir, rows)
    nodules = nodules_by_series(rows.series_uid.unique())
    jobs = []
    for number, (uid, group) in enumerate(rows.groupby("series_uid", sort=False)):
        part = store_dir / _PARTS / f"{hashlib.sha256(uid.encode()).hexdigest()[:12]}.json"
        digest = _digest(group, series[uid])
        done = resume and part.is_file() and json.loads(part.read_text())["digest"] == digest
        if number % count == index and not done:
            jobs.append((store_dir, group, series[uid], nodules[uid], part, digest))
    for _ in run_jobs(_ingest_series, jobs, "Ingesting CT series", workers):
        pass
    if count == 1:
        _merge(store_dir)


def _ingest_series(
    store_dir: Path,
    rows: pd.DataFrame,
    headers: list[SliceHeader],
    nodules: tuple[Nodule, ...],
    part: Path,
    digest: str,
) -> None:
    """Write the patches of one series, then the part file that says so."""
    store = NoduleStore(store_dir)
    records: list[dict[str, object]] = []
    by_id = {nodule.nodule_id: nodule for nodule in nodules}
    series: CTSeries | None = None
    fault = ""
    try:
        series = CTSeries(headers)
    except InputError as error:
        fault = str(error)
    for row, nodule_id in zip(rows.index, rows.nodule_id, strict=True):
        record = dict(row=row, x=np.nan, y=np.nan, z=np.nan, slice_spacing_mm=np.nan, slice_thickness_mm=np.nan)
        record |= {"manufacturer": headers[0].manufacturer, "fault": fault}
        if series is not None:
            record["slice_thickness_mm"] = headers[0].slice_thickness_mm
            record["slice_spacing_mm"] = float(series.grid.spacing_mm[2])
            record |= _ingest_nodule(store, row, series, by_id[nodule_id])
        records.append({k: None if isinstance(v, float) and np.isnan(v) else v for k, v in record.items()})
    write_json(part, {"digest": digest, "rows": records})


def _ingest_nodule(store: NoduleStore, row: int, series: CTSeries, nodule: Nodule) -> dict[str, object]:
    """Write one patch; returns its centre (LPS mm), or the fault that prevented it."""
    if not outlines_covered(nodule, series.slice_z_mm):
        return {"fault": "outlines outside the scanned range"}
    masks = reader_masks(nodule, series.slice_z_mm)
    centre = series.grid.to_lps(masks.centre_index()[::-1])
    try:
        patch = extract_patch(series, centre, store.patch_shape, store.spacing_mm)
    except InputError as error:
        return {"fault": str(error)}
    store.write(row, patch.hu, agreement_on(masks, series.grid, patch.grid), patch.valid)
    x, y, z = (round(float(value), 4) for value in centre)
    return {"x": x, "y": y, "z": z}


def agreement_on(masks: ReaderMasks, source: Grid, target: Grid) -> np.ndarray:
    """How many readers include each voxel of ``target``, uint8 (superior, posterior, left).

    Each reader's mask on the CT's grid (``source``) is interpolated linearly and cut at one half.
    """
    count, *shape = masks.masks.shape
    padded = np.pad(masks.masks, ((0, 0), (1, 1), (1, 1), (1, 1)))  # so that the interpolation falls to 0 at the rim
    grid = source.crop(tuple(start - 1 for start in masks.start), tuple(n + 2 for n in shape))
    return sum((resample(padded[i], grid, target) >= 0.5).astype(np.uint8) for i in range(count))


def _merge(store_dir: Path) -> None:
    """Write ``nodules.parquet`` from the manifest and the part of every series; say what is in the store."""
    manifest = store_dir / _MANIFEST
    if not manifest.is_file():
        raise StoreError(f"{store_dir}: no ingestion was begun here (no {_MANIFEST})")
    rows = pd.read_csv(manifest, dtype={"reading_ids": str}, keep_default_na=True)
    records = [
        record
        for part in sorted((store_dir / _PARTS).glob("*.json"))
        for record in json.loads(part.read_text())["rows"]
    ]
    done = pd.DataFrame(records).set_index("row").sort_index() if records else pd.DataFrame()
    if len(done) != len(rows):
        missing = rows[~rows.index.isin(done.index)].series_uid.nunique()
        raise StoreError(f"{store_dir}: {missing} series are not ingested yet; run the remaining shards, then merge")
    for name in rows.columns[rows.columns.str.endswith("_ratings")]:
        rows[name] = rows[name].astype(str)
    table = rows.join(done)
    NoduleStore(store_dir).write_table(table)
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


def _write_manifest(store_dir: Path, rows: pd.DataFrame) -> None:
    text = rows.to_csv(index=False, lineterminator="\n")
    path = store_dir / _MANIFEST
    if path.is_file() and path.read_bytes() != text.encode():
        raise StoreError(f"{store_dir}: was begun with another cohort or other patients; give an empty folder")
    if not path.is_file():
        write_text(path, text)


def _digest(rows: pd.DataFrame, headers: list[SliceHeader]) -> str:
    """What a part depends on: the manifest's rows and the images, in any order."""
    content = rows.to_csv(lineterminator="\n") + "\n".join(sorted(header.sop_uid for header in headers))
    return hashlib.sha256(content.encode()).hexdigest()


def _required(path: Path | None, name: str) -> Path:
    if path is None:
        raise InputError(f"{name} is missing; see `ctxai ingest --help`")
    return path
