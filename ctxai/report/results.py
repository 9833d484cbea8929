"""What ``ctxai explain`` says of the nodules of a result folder, as its report reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from ctxai.errors import InputError
from ctxai.folder_kinds import describe_kind
from ctxai.generations import read_record, series_folders
from ctxai.results_folder import PREDICTIONS, is_nodule_id, is_series_key


@dataclass(frozen=True)
class Results:
    """A result folder.

    Attributes:
        folder: where it is.
        software: what made it, with its version.
        run: name of the model's run.
        weights_sha256: checksum of the model's weights.
        rows: a line of predictions.csv for each nodule; None where there is no number.
    """

    folder: Path
    software: str
    run: str
    weights_sha256: str
    rows: tuple[Mapping[str, Any], ...]


def read_results(folder: Path) -> Results:
    """Read ``predictions.json``.

    Raises:
        InputError: when it is missing or damaged, or names a file outside the folder.
    """
    path = folder / PREDICTIONS
    if not path.is_file():
        raise InputError(
            f"{folder}: no {PREDICTIONS}{describe_kind(folder)}; expected the folder that `ctxai explain` wrote"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = Results(
            folder=folder,
            software=str(content["software"]),
            run=str(content["run"]),
            weights_sha256=str(content["weights_sha256"]),
            rows=tuple(dict(row) for row in content["nodules"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the predictions of `ctxai explain` ({type(error).__name__}: {error}); run it again"
        ) from None
    for row in results.rows:
        for name, fits in (("series", is_series_key), ("nodule_id", is_nodule_id)):
            if not fits(str(row.get(name, ""))):
                found = str(row.get(name))[:60]
                raise InputError(f"{path}: {name} {found!r} cannot name a folder in {folder}; not read")
    return replace(results, rows=tuple(_recorded(folder, results.rows)))


def _recorded(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rows of each series as its record has them: a run may have been killed before it wrote the table."""
    done = {one.name: one for one in series_folders(folder)}
    for series, own in groupby(rows, key=lambda row: str(row["series"])):
        yield from read_record(done[series]).rows if series in done else own
