"""``ctxai ingest``: nodules cut out of their CT series and put in a nodule store."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from ctxai.ct.geometry import HARMLESS, GeometryRules
from ctxai.ct.header import SliceHeader, find_series
from ctxai.ct.header_table import read_headers, write_headers
from ctxai.ct.stack import stack
from ctxai.data.store import ARRAYS, LAYOUT, TABLE, NoduleStore
from ctxai.errors import GeometryError, InputError, StoreError
from ctxai.files import sweep, write_text
from ctxai.folders import STORE, refuse_other
from ctxai.lidc.annotations import load_tables, nodules_by_series
from ctxai.lidc.findings import Finding
from ctxai.progress import console, run_jobs
from ctxai.stages.cutting import Source, image_digest, images_of, ingest_series
from ctxai.stages.shards import parse_shard
from ctxai.stages.sources import Work, from_database, from_luna, from_points, from_xml, patient_name

__all__ = ["MANIFEST", "PARTS", "ingest", "part_of"]

#: The rows of the manifest that a store is made of, in its order.
MANIFEST = "manifest.csv"
#: One file per finished series.
PARTS = "parts"
_KNOWN = "findings.csv"
_REPORT = "report.csv"
_PAGE = "report.html"

logger = logging.getLogger(__name__)


def ingest(
    dicom_dir: Path | None = None,
    store_dir: Path | None = None,
    *,
    cohort: str = "default",
    patients: list[str] | None = None,
    xml: Path | None = None,
    points: Path | None = None,
    luna: Path | None = None,
    crops: Path | None = None,
    repair: list[str] = ["missing-slice", "duplicated-position", "non-uniform-spacing"],  # noqa: B006 (never changed)
    max_gap_mm: float = 5.0,
    shard: str = "0/1",
    prepare: bool = False,
    headers: Path | None = None,
    merge: Path | None = None,
    report: bool = False,
    workers: int = 0,
    resume: bool = True,
    overwrite: bool = False,
) -> None:
    """Cut every nodule of the cohort out of its CT: 64 mm cubes at 1 mm, beside the readers' agreement.

    The nodules are those of LIDC-IDRI whose series lie under DICOM_DIR, under any file names, or those of --xml,
    --points or --luna. Every fault of a series is repaired or refused by name and told in report.csv; it does not stop
    the others. A killed run goes on where it stopped and ends with the same bytes.

    Args:
        dicom_dir: tree of DICOM files.
        store_dir: the nodule store to write.
        cohort: which nodules are used: a bundled name or a cohort file.
        patients: only these patients.
        xml: LIDC's XML annotation (a file or a folder of them) instead of the database.
        points: nodules in any CT as CSV (x,y,z in LPS mm; optional nodule_id, series_uid, diameter_mm,
            label_malignancy, ratings) or Slicer markups; they need no labels.
        luna: a folder of LUNA16 (.mhd files and annotations.csv) instead of a DICOM tree.
        crops: a collection of 2-D crops (crops.npz, labels.csv) instead of a DICOM tree.
        repair: faults that are repaired, others are refused; also mixed-orientation, mixed-size-or-pixel-spacing,
            wrong-modality, unknown-rescale.
        max_gap_mm: nodules whose patch touches a wider gap of missing slices are refused.
        shard: i/n, the i-th of n equal parts of the series (0/1 is all); afterwards run ``ctxai ingest --merge``.
        prepare: only write the manifest and the empty store, before the shards.
        headers: file that --prepare keeps the headers of the tree in, PatientID among them, and that shards read
            instead of the whole tree, as ``ctxai explain`` may; prepare again when the tree has changed.
        merge: finish the store given here, after all of its shards.
        report: write report.html into the store: cohort, faults and repairs, ratings, agreement, sample patches.
        workers: processes; 0 works in this one.
        resume: leave what is already in the store; false does it again.
        overwrite: a store of another cohort or of other patients is emptied first; it is refused otherwise.
    """
    if merge is not None:
        _merge(merge, report)
        return
    sources = {"--xml": xml, "--points": points, "--luna": luna, "--crops": crops}
    if len(given := [name for name, value in sources.items() if value is not None]) > 1:
        raise InputError(f"{' '.join(given)}: each says where the nodules are; give one of them")
    if crops is not None:
        from ctxai.data.crops import import_crops

        import_crops(crops, _required(store_dir or dicom_dir, "STORE_DIR"))
        return
    rules = GeometryRules.named(repair, max_gap_mm)
    index, count = parse_shard(shard)
    if luna is not None:
        store_dir = _required(store_dir or dicom_dir, "STORE_DIR")
        work = from_luna(luna)
    else:
        dicom_dir, store_dir = _required(dicom_dir, "DICOM_DIR"), _required(store_dir, "STORE_DIR")
        if headers is not None and not prepare:
            _ingest_prepared(dicom_dir, store_dir, headers, (index, count), rules, workers, resume)
            return
        work = _from_dicom(dicom_dir, cohort, patients, xml, points, rules, workers, headers)
    refuse_other(store_dir, STORE, (dicom_dir, luna))
    manifest = work.rows.to_csv(index=False, lineterminator="\n")
    if overwrite:
        _empty(store_dir, manifest)
    _write_once(store_dir / MANIFEST, manifest)
    NoduleStore.create(store_dir, len(work.rows))
    columns = [field.name for field in fields(Finding)]
    known = pd.DataFrame([asdict(finding) for finding in work.findings], columns=columns)
    write_text(store_dir / _KNOWN, known.to_csv(index=False, lineterminator="\n"))
    if prepare:
        return
    _ingest_shard(store_dir, shard_rows(work.rows, index, count), work, rules, workers, resume)
    if count == 1:
        _merge(store_dir, report)


def _ingest_prepared(
    dicom_dir: Path,
    store_dir: Path,
    headers: Path,
    shard: tuple[int, int],
    rules: GeometryRules,
    workers: int,
    resume: bool,
) -> None:
    """Ingest a shard of a store that is prepared: nothing is read but what belongs to the shard."""
    if not (store_dir / MANIFEST).is_file():
        raise StoreError(f"{store_dir}: not prepared (no {MANIFEST}); run `ctxai ingest --prepare --headers {headers}`")
    groups = shard_rows(read_manifest(store_dir), *shard)
    outlined = not any({"x", "y", "z"} <= set(group) for group in groups.values())
    nodules = nodules_by_series(groups) if outlined else {}
    work = Work(pd.DataFrame(), read_headers(headers, dicom_dir, groups.keys()), nodules)
    if missing := groups.keys() - work.sources.keys():
        raise InputError(f"{headers}: lacks {len(missing)} series of the manifest of {store_dir}; prepare both again")
    _ingest_shard(store_dir, groups, work, rules, workers, resume)


def shard_rows(rows: pd.DataFrame, index: int, count: int) -> dict[str, pd.DataFrame]:
    """The manifest's rows of every series of a shard, by Series Instance UID."""
    chosen = rows.groupby("series_uid", sort=False).ngroup() % count == index
    return {str(uid): group for uid, group in rows[chosen].groupby("series_uid", sort=False)}


def _ingest_shard(
    store_dir: Path, groups: Mapping[str, pd.DataFrame], work: Work, rules: GeometryRules, workers: int, resume: bool
) -> None:
    """Put the series of a shard that are not there yet into the store."""
    jobs = []
    texts = _texts(groups)
    for uid, group in groups.items():
        part = part_of(store_dir, uid)
        digest = digest_of(texts[uid], work.sources[uid], rules)
        if not (resume and part.is_file() and json.loads(part.read_text())["digest"] == digest):
            jobs.append((store_dir, group, work.sources[uid], work.nodules.get(uid, ()), part, digest, rules))
    for _ in run_jobs(ingest_series, jobs, "Ingesting CT series", workers):
        pass


def _from_dicom(
    dicom_dir: Path,
    cohort: str,
    patients: list[str] | None,
    xml: Path | None,
    points: Path | None,
    rules: GeometryRules,
    workers: int,
    kept: Path | None,
) -> Work:
    """What is to be ingested of a tree, whose headers are kept in a file where one is named."""
    if kept is not None and xml is not None:
        raise InputError("--headers: for the database's nodules or points; LIDC's XML files need the whole tree")
    damaged: dict[Path, str] = {}
    with console.status("Reading DICOM headers"):
        series = find_series(dicom_dir, damaged, workers)
    if kept is not None:
        write_headers(kept, dicom_dir, series)
    if xml is not None:
        work = from_xml(series, xml, cohort, rules)
    elif points is not None:
        work = from_points(series, points)
    else:
        work = from_database(series, cohort, patients, dicom_dir)
    findings = list(work.findings)
    for reason in damaged.values():
        logger.warning("left out: %s", reason)
        detail = reason.removeprefix(f"{dicom_dir}, ").removeprefix(f"{dicom_dir}: ")
        findings.append(Finding("", "", "", "damaged image", detail, "left out"))
    for uid in sorted(series):
        patient = patient_name(series[uid][0])
        if patients is None or patient in patients:
            findings += _geometry_findings(uid, patient, series[uid], rules)
    return Work(work.rows, work.sources, work.nodules, tuple(findings))


def _geometry_findings(uid: str, patient: str, headers: list[SliceHeader], rules: GeometryRules) -> list[Finding]:
    """Every fault in the geometry of one series, whether or not it holds a nodule of the cohort."""
    try:
        report = stack(headers, rules).report
    except GeometryError as error:
        reason = str(error).removeprefix(f"{headers[0].place}: ")
        return [Finding(patient, uid, "", "no CT slice", reason, "refused")]
    actions = {fault: "refused" if fault in report.blocking else "repaired" for fault in report.faults}
    actions |= {fault: "noted" for fault in report.faults if fault in HARMLESS}
    return [Finding(patient, uid, "", str(fault), text, actions[fault]) for fault, text in report.faults.items()]


def part_of(store_dir: Path, series_uid: str) -> Path:
    """The file that says that a series is in the store, and what it was made from."""
    return store_dir / PARTS / f"{hashlib.sha256(series_uid.encode()).hexdigest()[:12]}.json"


def _merge(store_dir: Path, page: bool = False) -> None:
    """Write ``nodules.parquet`` from the manifest and the part of every series; say what is in the store."""
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


def read_manifest(store_dir: Path) -> pd.DataFrame:
    """The manifest's rows as they were before they were written."""
    rows = pd.read_csv(store_dir / MANIFEST, dtype={"reading_ids": str}, keep_default_na=True)
    for name in rows.columns[rows.columns.str.endswith("_ratings")]:
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "").astype(str)
    return rows


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
    known = pd.read_csv(store_dir / _KNOWN, dtype=str, keep_default_na=False)
    found = []
    told = set(zip(known.series_uid, known.name, strict=True))
    for row in table.itertuples():
        place = (row.patient_id, row.series_uid, row.nodule_id)
        if row.fault:
            name, _, detail = row.fault.partition(": ")
            found.append(Finding(*place, name, detail, "refused"))
        found += [
            Finding(*place, name, "in the slices of this nodule")
            for name in filter(None, row.repairs.split("; "))
            if (row.series_uid, name) not in told
        ]
    report = pd.concat([known, pd.DataFrame([asdict(finding) for finding in found], columns=known.columns)])
    write_text(store_dir / _REPORT, report.to_csv(index=False, lineterminator="\n"))


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
    report = pd.read_csv(store_dir / _REPORT, dtype=str, keep_default_na=False)
    write_ingestion_report(store_dir / _PAGE, NoduleStore(store_dir), report, flow)


def _sweep(store_dir: Path) -> None:
    """Remove what killed runs left: files and folders under temporary names."""
    sweep(store_dir)
    sweep(store_dir / PARTS)
    for stale in (store_dir / ARRAYS).rglob("*.partial"):  # zarr's own
        stale.unlink(missing_ok=True)
    for folder in store_dir.glob(".partial.*"):
        shutil.rmtree(folder, ignore_errors=True)


def _empty(store_dir: Path, manifest: str) -> None:
    """Remove everything of a store that was begun with another manifest; the manifest, which tells, last."""
    path = store_dir / MANIFEST
    if not path.is_file() or path.read_bytes() == manifest.encode():
        return
    for name in (TABLE, LAYOUT, _REPORT, _PAGE, _KNOWN):
        (store_dir / name).unlink(missing_ok=True)
    for name in (ARRAYS, PARTS):
        shutil.rmtree(store_dir / name, ignore_errors=True)
    path.unlink()


def _write_once(path: Path, text: str) -> None:
    if path.is_file() and path.read_bytes() != text.encode():
        raise StoreError(
            f"{path.parent}: was begun with another cohort or other patients; give an empty folder, or --overwrite"
        )
    if not path.is_file():
        write_text(path, text)


def _texts(groups: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Every group as CSV, cut out of one text: writing each takes most of a run that has nothing to do."""
    if not groups:
        return {}
    heading, *lines = pd.concat(groups.values()).to_csv(lineterminator="\n").removesuffix("\n").split("\n")
    if len(lines) != sum(map(len, groups.values())):  # a name with a line break in it
        return {uid: group.to_csv(lineterminator="\n") for uid, group in groups.items()}
    following = iter(lines)
    return {uid: "\n".join([heading, *(next(following) for _ in group.index), ""]) for uid, group in groups.items()}


def digest_of(rows: str, source: Source, rules: GeometryRules) -> str:
    """What a part depends on: the manifest's rows, the images in any order, and the rules of repair."""
    images = image_digest(images_of(source))
    content = [rows, images, *sorted(rules.repair), str(rules.max_gap_mm)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _required(path: Path | None, name: str) -> Path:
    if path is None:
        raise InputError(f"{name} is missing; see `ctxai ingest --help`")
    return path
