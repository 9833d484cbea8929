"""Predictions of a result folder of ``ctxai explain``, as its report reads them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctxai.data.targets import TargetTable, build_targets, own_table
from ctxai.errors import InputError
from ctxai.folder_kinds import describe_kind
from ctxai.generations import read_record, series_folders
from ctxai.results_folder import PREDICTIONS, SERIES_RECORD, is_nodule_id, is_series_key


@dataclass(frozen=True)
class Results:
    """A result folder.

    Attributes:
        folder: where it is.
        software: what made it, with its version.
        run: name of the model's run.
        weights_sha256: checksum of the model's weights.
        own: the table of targets of one's own of the last run; None where LIDC-IDRI's were predicted.
        rows: a row of predictions.csv for each nodule; None where there is no number.
        models_own: the tables of other runs that rows are of, by their weights.
    """

    folder: Path
    software: str
    run: str
    weights_sha256: str
    own: TargetTable | None
    rows: tuple[Mapping[str, Any], ...]
    models_own: Mapping[str, TargetTable | None] = field(default_factory=dict)

    def own_of(self, row: Mapping[str, Any]) -> TargetTable | None:
        """The table of targets of one's own that a row was predicted by."""
        weights = row.get("weights_sha256") or self.weights_sha256
        return self.own if weights == self.weights_sha256 else self.models_own.get(str(weights))

    @property
    def models(self) -> list[str]:
        """Every model that the rows are of, as :meth:`model_of` names it; one folder may have several."""
        return list(dict.fromkeys(map(self.model_of, self.rows))) or [self.model_of({})]

    def model_of(self, row: Mapping[str, Any]) -> str:
        """Run and weights that a row is of, in words."""
        weights = str(row.get("weights_sha256") or self.weights_sha256)
        return f"run {row.get('run') or self.run}, weights {weights[:12]}"


#: Columns of predictions.csv that hold numbers or nothing, and those that hold yes, no or nothing.
_NUMBERS = re.compile(
    r"(middle_)?[xyz]|n_readers|diameter(_mm)?|malignancy|malignancy_probability|novelty_percentile|readers_.*|"
    r"roundness|nodule_at_mark|outline_at_border|outline_off_centre_mm|"
    r".*_(probability|possible|logit|low|high|inside|by_chance|fidelity|percentile|stability|spread)"
)
_ANSWERS = re.compile(r"in_sample|outline_by_readers|.*_sanity")


def _check_types(row: Mapping[str, Any], own: TargetTable | None) -> None:
    """Refuse a row whose values are not of their columns' types, as in a file that somebody else made.

    Raises:
        KeyError: for a column that is missing.
        TypeError: for a value of another type.
    """
    for name in ("series", "nodule_id"):
        if not isinstance(row[name], str):
            raise TypeError(f"{name}: expected a text")
    for name in "xyz":
        if row[name] is None:
            raise TypeError(f"{name}: expected a number")
    numbers = () if own is None else own.names
    for name, value in row.items():
        if (_NUMBERS.fullmatch(name) or name in numbers) and not (
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
            own=own_table(build_targets(content.get("targets", ()))),
            rows=tuple(dict(row) for row in content["nodules"]),
            models_own={str(k): own_table(build_targets(v)) for k, v in dict(content.get("models", {})).items()},
        )
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(
            f"{path}: not the predictions of `ctxai explain` ({type(error).__name__}: {error}); run it again"
        ) from None
    for row in results.rows:
        _refuse_other_names(path, row)
    rows = tuple(_recorded(folder, results.rows))
    try:
        for row in rows:
            _check_types(row, results.own_of(row))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the predictions of `ctxai explain` ({type(error).__name__}: {error}); run it again"
        ) from None
    return replace(results, rows=rows)


def _recorded(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rows of each series as its record has them: a run may have been killed before it wrote the table."""
    done = {one.name: one for one in series_folders(folder)}
    for series in dict.fromkeys(str(row["series"]) for row in rows):
        if series not in done:
            raise InputError(f"{folder / series}: no finished results of this series; run `ctxai explain` again")
        for row in read_record(done[series]).rows:
            _refuse_other_names(done[series] / SERIES_RECORD, row, series)
            yield row


def _refuse_other_names(path: Path, row: Mapping[str, Any], series: str | None = None) -> None:
    """Refuse a row whose names cannot be those of files, or that is of another series than ``series``.

    Raises:
        InputError: naming ``path`` and the value.
    """
    for name, fits in (("series", is_series_key), ("nodule_id", is_nodule_id)):
        found = row.get(name)
        if not (isinstance(found, str) and fits(found)) or (name == "series" and series not in (None, found)):
            raise InputError(f"{path}: {name} {str(found)[:60]!r} cannot name a folder in {path.parent}; not read")
