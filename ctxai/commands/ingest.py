"""``ctxai ingest``: nodules cut out of their CT series and put in a nodule store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ctxai.commands.options import CLUSTER
from ctxai.errors import InputError, StoreError
from ctxai.folder_kinds import STORE, refuse_other
from ctxai.progress import run_jobs
from ctxai.shards import parse_shard

if TYPE_CHECKING:
    import pandas as pd

    from ctxai.ct.geometry import GeometryRules
    from ctxai.ingestion.extraction import Source
    from ctxai.lidc.database import Nodule


def ingest(
    dicom_dir: Path | None = None,
    store_dir: Path | None = None,
    /,
    *,
    cohort: str = "default",
    patients: list[str] | None = None,
    xml: Path | None = None,
    points: Path | None = None,
    luna: Path | None = None,
    crops: Path | None = None,
    repair: list[str] = ["missing-slice", "duplicated-position", "non-uniform-spacing"],  # noqa: B006 (never changed)
    max_gap_mm: float = 5.0,
    shard: Annotated[str, CLUSTER] = "0/1",
    prepare: Annotated[bool, CLUSTER] = False,
    headers: Annotated[Path | None, CLUSTER] = None,
    key: Path | None = None,
    merge: Annotated[Path | None, CLUSTER] = None,
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
        key: file with the secret under which patients get pseudonyms; made where there is none. Without it,
            ~/.config/ctxai/deidentify.key. LIDC-IDRI's public ids need none.
        merge: finish the store given here, after all of its shards.
        report: write report.html into the store: cohort, faults and repairs, ratings, agreement, sample patches.
        workers: processes; 0 works in this one.
        resume: leave what is already in the store; false does it again.
        overwrite: a store of another cohort or of other patients is emptied first; it is refused otherwise.
    """
    from ctxai.ct.geometry import GeometryRules
    from ctxai.deidentification.pseudonyms import Pseudonymizer
    from ctxai.ingestion.bookkeeping import begin
    from ctxai.ingestion.discovery import work_in_tree
    from ctxai.ingestion.extraction import images_of
    from ctxai.ingestion.merge import merge_parts
    from ctxai.ingestion.sources import from_luna

    if merge is not None:
        merge_parts(merge, report)
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
        names = Pseudonymizer(key)
        work = work_in_tree(dicom_dir, cohort, patients, xml, points, rules, workers, headers, names)
    refuse_other(store_dir, STORE, (dicom_dir, luna))
    begin(store_dir, work.rows, work.issues, overwrite)
    if prepare:
        return
    rows = shard_rows(work.rows, index, count)
    images = {uid: images_of(work.sources[uid]) for uid in rows.series_uid.unique()}
    waiting = _waiting(store_dir, rows, images, rules, resume)
    _ingest_series(store_dir, rows, waiting, work.sources, work.nodules, rules, workers)
    if count == 1:
        merge_parts(store_dir, report)


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
    from ctxai.ct.header_table import read_headers, read_images
    from ctxai.ingestion.bookkeeping import MANIFEST, read_manifest
    from ctxai.lidc.annotations import nodules_by_series

    if not (store_dir / MANIFEST).is_file():
        raise StoreError(f"{store_dir}: not prepared (no {MANIFEST}); run `ctxai ingest --prepare --headers {headers}`")
    rows = shard_rows(read_manifest(store_dir), *shard)
    images = read_images(headers, set(rows.series_uid))
    if missing := set(rows.series_uid) - images.keys():
        raise InputError(f"{headers}: lacks {len(missing)} series of the manifest of {store_dir}; prepare both again")
    waiting = _waiting(store_dir, rows, images, rules, resume)
    nodules = {} if {"x", "y", "z"} <= set(rows) else nodules_by_series(waiting)
    sources = read_headers(headers, dicom_dir, waiting.keys())
    _ingest_series(store_dir, rows, waiting, sources, nodules, rules, workers)


def shard_rows(rows: pd.DataFrame, index: int, count: int) -> pd.DataFrame:
    """The manifest's rows of the series of a shard."""
    return rows[rows.groupby("series_uid", sort=False).ngroup() % count == index]


def _waiting(
    store_dir: Path,
    rows: pd.DataFrame,
    images: Mapping[str, set[str]],
    rules: GeometryRules,
    resume: bool,
) -> dict[str, str]:
    """The series that are not in the store yet, or from something else, with the digest of what they depend on now."""
    from ctxai.ingestion.bookkeeping import part_of

    digests = {uid: digest_of(text, images[uid], rules) for uid, text in _texts(rows).items()}
    if not resume:
        return digests
    return {uid: digest for uid, digest in digests.items() if _digest_in(part_of(store_dir, uid)) != digest}


def _digest_in(part: Path) -> str | None:
    return json.loads(part.read_text())["digest"] if part.is_file() else None


def _ingest_series(
    store_dir: Path,
    rows: pd.DataFrame,
    waiting: Mapping[str, str],
    sources: Mapping[str, Source],
    nodules: Mapping[str, tuple[Nodule, ...]],
    rules: GeometryRules,
    workers: int,
) -> None:
    """Put the series that wait into the store."""
    from ctxai.ingestion.bookkeeping import part_of
    from ctxai.ingestion.extraction import ingest_series

    jobs = [
        (store_dir, group, sources[uid], nodules.get(uid, ()), part_of(store_dir, uid), waiting[uid], rules)
        for uid, group in rows[rows.series_uid.isin(waiting.keys())].groupby("series_uid", sort=False)
    ]
    for _ in run_jobs(ingest_series, jobs, "Ingesting CT series", workers):
        pass


def _texts(rows: pd.DataFrame) -> dict[str, str]:
    """The rows of every series as CSV, cut out of one text, because cutting a large table takes long."""
    heading, *lines = rows.to_csv(lineterminator="\n").removesuffix("\n").split("\n")
    if len(lines) != len(rows):  # a name with a line break in it
        return {uid: group.to_csv(lineterminator="\n") for uid, group in rows.groupby("series_uid", sort=False)}
    parts: dict[str, list[str]] = {}
    for uid, line in zip(rows.series_uid, lines, strict=True):
        parts.setdefault(uid, [heading]).append(line)
    return {uid: "\n".join([*part, ""]) for uid, part in parts.items()}


def digest_of(rows: str, images: set[str], rules: GeometryRules) -> str:
    """What a part depends on: the manifest's rows, the images in any order, and the rules of repair."""
    from ctxai.ingestion.extraction import image_digest

    content = [rows, image_digest(images), *sorted(rules.repair), str(rules.max_gap_mm)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _required(path: Path | None, name: str) -> Path:
    if path is None:
        raise InputError(f"{name} is missing; see `ctxai ingest --help`")
    return path
