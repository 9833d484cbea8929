"""Points that a user marks in a CT: ``points.csv`` and Slicer markups."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.errors import InputError

#: More than any list of points takes.
MAX_BYTES = 16 * 2**20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COLUMNS = "x,y,z (LPS mm) and, optionally, nodule_id, series_uid, diameter_mm"


@dataclass(frozen=True, eq=False)
class Point:
    """One marked position.

    Attributes:
        nodule_id: name of the nodule; letters, digits and ``._-``.
        lps: position, LPS mm.
        series_uid: the series it belongs to; None where the file does not say.
        diameter_mm: size of the nodule; None where the file does not say.
    """

    nodule_id: str
    lps: np.ndarray
    series_uid: str | None = None
    diameter_mm: float | None = None


def read_points(path: Path | str) -> list[Point]:
    """Read ``points.csv`` or a Slicer markups file (``.mrk.json``, in RAS or LPS).

    Raises:
        InputError: when the file is missing, has other columns, or holds something else than finite positions.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV with the columns {_COLUMNS}")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size >> 20} MiB, more than any list of points; give the right file")
    points = _markups(path) if path.name.endswith(".json") else _csv(path)
    if not points:
        raise InputError(f"{path}: holds no point")
    repeated = [name for name, count in Counter(point.nodule_id for point in points).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: nodule_id {repeated[0]!r} is there more than once")
    return points


def _csv(path: Path) -> list[Point]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except ValueError as error:
        raise InputError(f"{path}: not a CSV file ({error}); expected the columns {_COLUMNS}") from None
    table = table.fillna("")  # of lines that end early
    table.columns = [str(name).strip().lower() for name in table.columns]
    if not table.columns.is_unique:
        raise InputError(f"{path}: a column is there more than once; expected the columns {_COLUMNS}")
    missing = [name for name in "xyz" if name not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected the columns {_COLUMNS}")
    return [
        _point(path, f"line {line}", number, row, [row[axis] for axis in "xyz"])
        for number, (line, row) in enumerate(
            zip(range(2, len(table) + 2), table.to_dict("records"), strict=True), start=1
        )
    ]


def _markups(path: Path) -> list[Point]:
    try:
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"]
        points = []
        for markup in markups:
            flip = np.array([-1.0, -1.0, 1.0]) if markup.get("coordinateSystem", "LPS") == "RAS" else np.ones(3)
            for control in markup["controlPoints"]:
                number = len(points) + 1
                lps = flip * np.array([float(value) for value in control["position"]])
                points.append(_point(path, f"control point {number}", number, {}, lps.tolist()))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a Slicer markups file ({type(error).__name__}: {error})") from None
    return points


def _point(path: Path, place: str, number: int, row: dict[str, str], position: list) -> Point:
    try:
        lps = np.array([float(value) for value in position])
        diameter = float(row["diameter_mm"]) if row.get("diameter_mm") else None
    except ValueError as error:
        raise InputError(f"{path}, {place}: {error}; expected numbers in mm") from None
    if lps.shape != (3,) or not np.isfinite(lps).all() or (diameter is not None and not 0 < diameter < 1000):
        found = f"{position} and {row.get('diameter_mm') or 'none'}"  # not the row, whose other columns may name anyone
        raise InputError(f"{path}, {place}: expected a finite position and a positive diameter in mm, found {found}")
    nodule_id = (row.get("nodule_id") or f"nodule-{number:03d}").strip()
    if not _ID.fullmatch(nodule_id):
        raise InputError(f"{path}, {place}: nodule_id {nodule_id!r} is not of letters, digits and ._-")
    return Point(nodule_id, lps, (row.get("series_uid") or "").strip() or None, diameter)
