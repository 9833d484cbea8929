"""Series of a plan, or of one shard of it, extracted into the store; what is already there is left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.header_table import read_headers
from ctxai.ct.mask import VoxelMask
from ctxai.errors import InputError, StoreError
from ctxai.ingestion.bookkeeping import MANIFEST, check_rules, part_of, read_manifest
from ctxai.ingestion.extraction import Source, image_digest, images_of, ingest_series
from ctxai.ingestion.plan import IngestPlan
from ctxai.lidc.annotations import nodules_by_series
from ctxai.lidc.database import Nodule
from ctxai.progress import run_jobs

Masks: TypeAlias = Mapping[str, Mapping[str, VoxelMask]]


def ingest_plan(
    store_dir: Path,
    plan: IngestPlan,
    shard: tuple[int, int],
    rules: GeometryRules,
    workers: int = 0,
    resume: bool = True,
) -> None:
    """Extract the nodules of a plan.

    Args:
        store_dir: the store, begun with the plan's rows.
        plan: the nodules and their CTs.
        shard: index and count of the part of the series to do.
        rules: which faults are repaired.
        workers: processes; 0 works in this one.
        resume: leave series whose part depends on the same inputs.
    """
    rows = shard_rows(plan.rows, *shard)
    images = {uid: images_of(plan.sources[uid]) for uid in rows.series_uid.unique()}
    waiting = _waiting(store_dir, rows, images, rules, resume, plan.masks)
    _ingest(store_dir, rows, waiting, plan.sources, plan.nodules, rules, workers, plan.masks)


def ingest_prepared(
    dicom_dir: Path,
    store_dir: Path,
    headers: Path,
    shard: tuple[int, int],
    rules: GeometryRules,
    workers: int = 0,
    resume: bool = True,
) -> None:
    """Extract a shard of a prepared store; only its own series are read.

    Args:
        dicom_dir: tree of DICOM files.
        store_dir: the store, prepared.
        headers: file of the tree's headers.
        shard: index and count.
        rules: which faults are repaired.
        workers: processes; 0 works in this one.
        resume: leave series whose part depends on the same inputs.

    Raises:
        StoreError: when the store is not prepared, or with other rules.
        InputError: when the headers lack a series of the manifest.
    """
    if not (store_dir / MANIFEST).is_file():
        raise StoreError(f"{store_dir}: not prepared (no {MANIFEST}); run `ctxai ingest --prepare --headers {headers}`")
    check_rules(store_dir, rules)
    rows = shard_rows(read_manifest(store_dir), *shard)
    sources: Mapping[str, Source] = read_headers(headers, dicom_dir, set(rows.series_uid))
    if missing := set(rows.series_uid) - sources.keys():
        raise InputError(f"{headers}: lacks {len(missing)} series of the manifest of {store_dir}; prepare both again")
    images = {uid: images_of(source) for uid, source in sources.items()}
    waiting = _waiting(store_dir, rows, images, rules, resume)
    nodules = {} if {"x", "y", "z"} <= set(rows) else nodules_by_series(waiting)
    _ingest(store_dir, rows, waiting, sources, nodules, rules, workers)


def shard_rows(rows: pd.DataFrame, index: int, count: int) -> pd.DataFrame:
    """The manifest's rows of the series of a shard."""
    return rows[rows.groupby("series_uid", sort=False).ngroup() % count == index]


def digest_of(rows: str, images: set[str], rules: GeometryRules) -> str:
    """SHA-256 of the inputs of a part: the manifest's rows, the images' headers in any order, and the rules."""
    content = [rows, image_digest(images), *sorted(rules.repair), str(rules.max_gap_mm), *rules.acquisitions]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _waiting(
    store_dir: Path,
    rows: pd.DataFrame,
    images: Mapping[str, set[str]],
    rules: GeometryRules,
    resume: bool,
    masks: Masks | None = None,
) -> dict[str, str]:
    """Digest of every series that is not in the store yet, or with other inputs."""
    texts = {uid: text + _mask_digest((masks or {}).get(uid, {})) for uid, text in _texts(rows).items()}
    digests = {uid: digest_of(text, images[uid], rules) for uid, text in texts.items()}
    if not resume:
        return digests
    return {uid: digest for uid, digest in digests.items() if _digest_in(part_of(store_dir, uid)) != digest}


def _mask_digest(masks: Mapping[str, VoxelMask]) -> str:
    """SHA-256 of masks; empty where there is none."""
    if not masks:
        return ""
    whole = hashlib.sha256()
    for name, mask in sorted(masks.items()):
        whole.update(f"{name}{mask.voxels.shape}".encode() + np.packbits(mask.voxels).tobytes())
        whole.update(np.ascontiguousarray(mask.grid.affine).tobytes())
    return whole.hexdigest()


def _digest_in(part: Path) -> str | None:
    return json.loads(part.read_text())["digest"] if part.is_file() else None


def _ingest(
    store_dir: Path,
    rows: pd.DataFrame,
    waiting: Mapping[str, str],
    sources: Mapping[str, Source],
    nodules: Mapping[str, tuple[Nodule, ...]],
    rules: GeometryRules,
    workers: int,
    masks: Masks | None = None,
) -> None:
    masks = masks or {}
    groups = {
        str(uid): group for uid, group in rows[rows.series_uid.isin(waiting.keys())].groupby("series_uid", sort=False)
    }
    jobs = [
        (
            store_dir,
            group,
            sources[uid],
            nodules.get(uid, ()),
            part_of(store_dir, uid),
            waiting[uid],
            rules,
            masks.get(uid),
        )
        for uid, group in groups.items()
    ]
    for _ in run_jobs(ingest_series, jobs, "Ingesting CT series", workers):
        pass


def _texts(rows: pd.DataFrame) -> dict[str, str]:
    """The rows of every series as CSV, cut out of one text, because cutting a large table takes long."""
    heading, *lines = rows.to_csv(lineterminator="\n").removesuffix("\n").split("\n")
    if len(lines) != len(rows):  # a name with a line break in it
        groups = rows.groupby("series_uid", sort=False)
        return {str(uid): group.to_csv(lineterminator="\n") for uid, group in groups}
    parts: dict[str, list[str]] = {}
    for uid, line in zip(rows.series_uid, lines, strict=True):
        parts.setdefault(uid, [heading]).append(line)
    return {uid: "\n".join([*part, ""]) for uid, part in parts.items()}
