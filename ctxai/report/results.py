"""What ``ctxai explain`` says of the nodules of a result folder, as its report reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctxai.errors import InputError
from ctxai.folder_kinds import describe_kind
from ctxai.results_folder import PREDICTIONS, nodule_folder


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
        names = [(str(row["series"]), str(row["nodule_id"])) for row in results.rows]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the predictions of `ctxai explain` ({type(error).__name__}: {error}); run it again"
        ) from None
    for series, nodule_id in names:
        if not nodule_folder(folder / series, nodule_id).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: series {series!r}, nodule {nodule_id!r} lead out of {folder}; not read")
    return results
