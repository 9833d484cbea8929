"""Points that a user marks in a CT: ``points.csv`` and Slicer markups."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctxai.ct.spreadsheet import read_table
from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean

#: More than any list of points takes.
MAX_BYTES = 16 * 2**20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: What a CSV of points has.
COLUMNS = "x,y,z (LPS mm) and, optionally, nodule_id, series_uid, diameter_mm"
_OPTIONAL = ("nodule_id", "series_uid", "diameter_mm")
#: What turns a position into LPS, by the name of its coordinate system.
_SYSTEMS = {"LPS": np.ones(3), "RAS": np.array([-1.0, -1.0, 1.0])}
#: Columns of a position: ours, and those of a table that Slicer writes.
_AXES = (("xyz", _SYSTEMS["LPS"]), ("lps", _SYSTEMS["LPS"]), ("ras", _SYSTEMS["RAS"]))
_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]*)?")

logger = logging.getLogger(__name__)


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
        raise InputError(f"{path}: no such file; give a CSV with the columns {COLUMNS}")
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
    columns, table = read_table(path, COLUMNS)
    axes, flip = next((each for each in _AXES if set(each[0]) <= set(columns)), _AXES[0])
    if missing := [name for name in axes if name not in columns]:
        # A line of values is not quoted: it may name anyone.
        found = "values" if any(map(_NUMBER.fullmatch, columns)) else ", ".join(columns)[:80]
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected the columns {COLUMNS}; its first line has {found}"
        )
    for name in set(columns) - {*axes, *_OPTIONAL}:
        if meant := did_you_mean(name, set(_OPTIONAL) - set(columns)):
            logger.warning("%s: the column %s is not read%s", path, name, meant)
    return [
        _point(path, f"line {line}", number, row, [row[axis] for axis in axes], flip)
        for number, (line, row) in enumerate(table, start=1)
    ]


def _markups(path: Path) -> list[Point]:
    try:
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"]
        points = []
        for markup in markups:
            flip = _SYSTEMS[markup.get("coordinateSystem", "LPS")]
            for control in markup["controlPoints"]:
                if control.get("positionStatus", "defined") != "defined":
                    continue  # named, and not placed yet
                number = len(points) + 1
                position = [float(value) for value in control["position"]]
                points.append(_point(path, f"control point {number}", number, {}, position, flip))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a Slicer markups file in LPS or RAS ({type(error).__name__}: {error}); save the list again"
        ) from None
    return points


def _point(path: Path, place: str, number: int, row: dict[str, str], position: list, flip: np.ndarray) -> Point:
    try:
        lps = flip * np.array([float(value) for value in position])
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
