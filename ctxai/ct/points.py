"""Points that a user marks in a CT: ``points.csv`` and Slicer markups."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


def read_rows(path: Path, columns: str = _COLUMNS) -> list[tuple[int, dict[str, str]]]:
    """The lines of a table of points, each as its number and its texts by column name (in lower case).

    A line that ends early has empty texts; blank lines are passed over.

    Args:
        path: the file.
        columns: what messages say that it should have.

    Raises:
        InputError: when the file is no CSV file, repeats a column, or has a line of more values than columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            lines = [(reader.line_num, values) for values in reader if "".join(values).strip()]
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file ({error}); expected the columns {columns}") from None
    if not lines:
        raise InputError(f"{path}: not a CSV file (it is empty); expected the columns {columns}")
    names = [name.strip().lower() for name in lines.pop(0)[1]]
    if any(names.count(name) > 1 for name in names if name):
        raise InputError(f"{path}: a column is there more than once; expected the columns {columns}")
    for number, values in lines:
        if any(value.strip() for value in values[len(names) :]):  # which of them is x would be a guess
            raise InputError(f"{path}, line {number}: {len(values)} values for {len(names)} columns")
    return [(number, dict.fromkeys(names, "") | dict(zip(names, values, strict=False))) for number, values in lines]


def _csv(path: Path) -> list[Point]:
    rows = read_rows(path)
    missing = [name for name in "xyz" if rows and name not in rows[0][1]]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected the columns {_COLUMNS}")
    return [
        _point(path, f"line {line}", number, row, [row[axis] for axis in "xyz"])
        for number, (line, row) in enumerate(rows, start=1)
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
