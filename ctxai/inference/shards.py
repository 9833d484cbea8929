"""Shards of ``ctxai explain``: a record of each that is done, and the merge over all of them."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from ctxai.errors import InputError
from ctxai.files import refuse_links, write_json
from ctxai.inference.predictions import write_tables
from ctxai.progress import console
from ctxai.results_folder import REPORT, SHARDS, shard_file

_RECORD = re.compile(r"[0-9]+-of-[0-9]+\.json")

logger = logging.getLogger(__name__)


def forget_shards(out_dir: Path, index: int, count: int) -> None:
    """Remove the record of a shard that is about to be done, and those of another number of shards.

    Raises:
        InputError: when their folder is a link.
    """
    refuse_links(out_dir, SHARDS)
    own = shard_file(out_dir, index, count)
    for path in (out_dir / SHARDS).glob("*-of-*.json"):
        if _RECORD.fullmatch(path.name) and (path == own or not path.name.endswith(f"-of-{count}.json")):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds something, or is gone
        (out_dir / SHARDS).rmdir()


def write_shard(
    out_dir: Path,
    index: int,
    count: int,
    digest: str,
    origin: Mapping[str, str],
    series: Collection[str],
    left_out: Mapping[str, str],
) -> None:
    """Write the record of a finished shard.

    Args:
        out_dir: folder for the results.
        index: of the shard.
        count: of all shards.
        digest: checksum of all options.
        origin: software, run and weights, by :func:`~ctxai.inference.predictions.made_by`.
        series: keys of the series that were explained.
        left_out: why others were not, by key.
    """
    content = {"asked": digest, "made_by": dict(origin), "series": sorted(series), "left_out": dict(left_out)}
    write_json(shard_file(out_dir, index, count), content, sort_keys=False)


def merge_shards(out_dir: Path) -> None:
    """Write the tables and the report over the results of all shards.

    Raises:
        InputError: when a shard is missing, shards have different options, or no nodule was explained.
    """
    paths = sorted(path for path in (out_dir / SHARDS).glob("*-of-*.json") if _RECORD.fullmatch(path.name))
    counts = {int(path.stem.rpartition("-of-")[2]) for path in paths}
    if len(counts) != 1:
        found = f"shards of {' and of '.join(map(str, sorted(counts)))}" if counts else "none"
        raise InputError(f"{out_dir}: expected files of all shards in {SHARDS}, found {found}; run --shard i/n")
    count = counts.pop()
    missing = [index for index in range(count) if shard_file(out_dir, index, count) not in paths]
    if missing:
        raise InputError(
            f"{out_dir}: {len(missing)} of {count} shards are not done; run --shard {missing[0]}/{count}, then merge"
        )
    shards = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if len({shard["asked"] for shard in shards}) > 1:
        raise InputError(f"{out_dir}: its shards had different options; run all of them with the same ones, then merge")
    left_out = {key: reason for shard in shards for key, reason in shard["left_out"].items()}
    write_tables(out_dir, shards[0]["made_by"], {key for shard in shards for key in shard["series"]}, left_out)
    for key, reason in sorted(left_out.items()):
        logger.warning("series %s was left out: %s", key, reason)
    console.print(f"{count} shards -> {out_dir / REPORT}", highlight=False, soft_wrap=True)
