"""What ``ctxai explain`` keeps of every series and of every shard, and the tables over all of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ctxai import __version__
from ctxai.deidentification.profile import Confidentiality
from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.files import sweep, write_json, write_text
from ctxai.progress import console
from ctxai.report.explanation import write_report
from ctxai.run.run import Run

#: In the folder of every series that is done: what its results depend on, and its lines of predictions.csv.
DONE = "explained.json"
#: One file per finished shard: the series that are its own, and those that could not be explained.
SHARDS = "shards"

logger = logging.getLogger(__name__)


def codes_of(confidentiality: Confidentiality | None) -> list[str]:
    """How results are deidentified, by DICOM's codes; empty where they are not."""
    return [] if confidentiality is None else [code.value for code in confidentiality.method_codes]


def refuse_mixture(folder: Path, confidentiality: Confidentiality | None, series: str = "*") -> None:
    """Results with an identity beside deidentified ones of the same CT would tell who it is.

    Args:
        folder: where results are to be.
        confidentiality: how they are to be deidentified.
        series: pattern of the folders of series in it.

    Raises:
        InputError: when there are results that are deidentified otherwise.
    """
    for path in sorted(folder.glob(f"{series}/{DONE}")):
        if json.loads(path.read_text(encoding="utf-8")).get("deidentified", []) != codes_of(confidentiality):
            raise InputError(f"{folder}: holds results that are deidentified otherwise, or not; give another folder")


def made_by(run: Run) -> dict[str, str]:
    """What predictions.json says of its origin."""
    return {"software": f"ctxai {__version__}", "run": run.name, "weights_sha256": run.weights_sha256}


def forget_shards(out_dir: Path, index: int, count: int) -> None:
    """Remove the files of a shard that is about to be done, and those of another number of shards."""
    own = _shard_file(out_dir, index, count)
    for path in (out_dir / SHARDS).glob("*-of-*.json"):
        if path == own or not path.name.endswith(f"-of-{count}.json"):
            path.unlink(missing_ok=True)


def write_shard(
    out_dir: Path,
    index: int,
    count: int,
    asked: str,
    origin: Mapping[str, str],
    series: Collection[str],
    left_out: Mapping[str, str],
) -> None:
    """Say that a shard is done.

    Args:
        out_dir: folder for the results.
        index: of the shard.
        count: of all shards.
        asked: checksum of everything that was asked for.
        origin: what :func:`made_by` says.
        series: keys of the series that were explained.
        left_out: why others were not, by key.
    """
    content = {"asked": asked, "made_by": dict(origin), "series": sorted(series), "left_out": dict(left_out)}
    write_json(_shard_file(out_dir, index, count), content, sort_keys=False)


def merge_shards(out_dir: Path) -> None:
    """Write the tables and the report over the results of all shards.

    Raises:
        InputError: when a shard is missing, shards were asked for different things, or no nodule was explained.
    """
    paths = sorted((out_dir / SHARDS).glob("[!.]*-of-*.json"))
    counts = {int(path.stem.rpartition("-of-")[2]) for path in paths}
    if len(counts) != 1:
        found = f"shards of {' and of '.join(map(str, sorted(counts)))}" if counts else "none"
        raise InputError(f"{out_dir}: expected files of all shards in {SHARDS}, found {found}; run --shard i/n")
    count = counts.pop()
    missing = [index for index in range(count) if _shard_file(out_dir, index, count) not in paths]
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
    console.print(f"{count} shards -> {out_dir / 'report.html'}", highlight=False, soft_wrap=True)


def write_tables(
    out_dir: Path,
    origin: Mapping[str, str],
    series: Collection[str] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Write predictions.csv, predictions.json and report.html.

    Args:
        out_dir: folder of the results.
        origin: what :func:`made_by` says.
        series: keys of the series that belong in them; None takes every series that is done in ``out_dir``.
        left_out: why series were left out, by key; they are the error's reason where nothing was explained.

    Raises:
        InputError: when the shards explained no nodule.
    """
    sweep(out_dir)
    rows: list[dict[str, Any]] = []
    for path in sorted(out_dir.glob(f"*/{DONE}")):
        if series is None or path.parent.name in series:
            rows += json.loads(path.read_text(encoding="utf-8"))["nodules"]
    if left_out is not None and not rows:
        reason = f", the first: {next(iter(left_out.values()))}" if left_out else ""
        raise InputError(f"{out_dir}: no nodule was explained; {len(left_out)} series were left out{reason}")
    table = pd.DataFrame(rows).assign(notice=NOTICE)
    write_text(out_dir / "predictions.csv", table.to_csv(index=False, lineterminator="\n"))
    header = {**origin, "notice": NOTICE, "nodules": rows}
    write_json(out_dir / "predictions.json", header, sort_keys=False)
    write_report(out_dir, newer_than=DONE)


def _shard_file(out_dir: Path, index: int, count: int) -> Path:
    return out_dir / SHARDS / f"{index}-of-{count}.json"
