"""What ``ctxai explain`` says of the nodules of a result folder, as its report reads it."""

from __future__ import annotations

import json
import math
import re
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


#: Columns of predictions.csv that hold numbers or nothing, and those that hold yes, no or nothing.
_NUMBERS = re.compile(
    r"[xyz]|n_readers|diameter(_mm)?|malignancy|malignancy_probability|novelty_percentile|readers_.*|"
    r".*_(low|high|inside|by_chance|fidelity|percentile|stability)"
)
_ANSWERS = re.compile(r"in_sample|.*_sanity")
_FOLDER_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*")


def _check_place(folder: Path, series: object, nodule_id: object) -> None:
    """Refuse names that are no folders in the result folder.

    Raises:
        TypeError: for names that are no texts.
        InputError: for others.
    """
    if not isinstance(series, str) or not isinstance(nodule_id, str):
        raise TypeError("series and nodule_id: expected texts")
    inside = nodule_folder(folder / series, nodule_id).resolve().is_relative_to(folder.resolve())
    if not inside or not _FOLDER_NAME.fullmatch(series):
        raise InputError(
            f"{folder / PREDICTIONS}: series {series!r}, nodule {nodule_id!r} lead out of {folder}; not read"
        )


def _check_types(row: Mapping[str, Any]) -> None:
    """Refuse a row whose values are not of their columns' types, as in a file that somebody else made.

    Raises:
        KeyError: for a column that is missing.
        TypeError: for a value of another type.
    """
    for name in "xyz":
        if row[name] is None:
            raise TypeError(f"{name}: expected a number")
    for name, value in row.items():
        if _NUMBERS.fullmatch(name) and not (
            value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
        ):
            raise TypeError(f"{name[:60]!r}: expected a number or null")
        if _ANSWERS.fullmatch(name) and not (value is None or isinstance(value, bool)):
            raise TypeError(f"{name[:60]!r}: expected true, false or null")


def read_results(folder: Path) -> Results:
    """Read ``predictions.json``.

    Raises:
        InputError: when it is missing or damaged, holds values of other types, or names a file outside the folder.
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
        names = [(row["series"], row["nodule_id"]) for row in results.rows]
        for series, nodule_id in names:
            _check_place(folder, series, nodule_id)
        for row in results.rows:
            _check_types(row)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the predictions of `ctxai explain` ({type(error).__name__}: {error}); run it again"
        ) from None
    return results
