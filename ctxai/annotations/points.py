"""Points in a CSV file: the user's own ``points.csv``, and the tables that Slicer exports."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.spreadsheet import read_table
from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean

#: More than any list of points takes.
MAX_BYTES = 16 * 2**20
#: Columns of a CSV of points.
COLUMNS = "x,y,z (LPS mm) and, optionally, nodule_id, series_uid, diameter_mm"
#: Factors from a coordinate system to LPS.
TO_LPS = {"LPS": np.ones(3), "RAS": np.array([-1.0, -1.0, 1.0])}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OPTIONAL = ("nodule_id", "series_uid", "diameter_mm")
#: Columns of a position: ours, and those of a table that Slicer writes.
_AXES = (("xyz", TO_LPS["LPS"]), ("lps", TO_LPS["LPS"]), ("ras", TO_LPS["RAS"]))
_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]*)?")

logger = logging.getLogger(__name__)


class Points(AnnotationSource):
    """CSV of points; further columns are kept as text, for labels.

    Args:
        path: the file; UTF-8, UTF-16 or code page 1252, columns divided by commas, semicolons or tabs.

    Raises:
        InputError: when the file is missing, has other columns, or a position is not finite.
    """

    name = "points"
    description = "CSV with x,y,z (LPS mm); optional nodule_id, series_uid, diameter_mm, labels and ratings"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        refuse_unlikely(path)
        self.points = checked(path, _read(path))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Never: what no other source recognises is read as points."""
        return False

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every point of the file."""
        return Annotations(self.points)


def refuse_unlikely(path: Path) -> None:
    """Refuse a file that is missing, or larger than any list of points.

    Raises:
        InputError: with what to give instead.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV with the columns {COLUMNS}")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size >> 20} MiB, more than any list of points; give the right file")


def checked(path: Path, points: Sequence[AnnotatedNodule]) -> Sequence[AnnotatedNodule]:
    """``points``, of which there is one at least, each with a name of its own within its series or patient.

    Raises:
        InputError: otherwise.
    """
    if not points:
        raise InputError(f"{path}: holds no point")
    keys = Counter((point.nodule_id, point.series_uid, point.patient_id) for point in points)
    repeated = [name for (name, _, _), count in keys.items() if count > 1]
    if repeated:
        raise InputError(f"{path}: nodule_id {repeated[0]!r} is there more than once")
    return points


def make_point(
    origin: str, number: int, row: Mapping[str, str], position: Sequence[float | str], factors: np.ndarray
) -> AnnotatedNodule:
    """One point, checked.

    Args:
        origin: file and line, for messages.
        number: running number, for the name of a point without one.
        row: the other columns.
        position: three numbers, mm.
        factors: to LPS, per axis.

    Raises:
        InputError: when a number is none, or a name cannot stand in file names.
    """
    try:
        lps = factors * np.array([float(value) for value in position])
        diameter = float(row["diameter_mm"]) if row.get("diameter_mm") else None
    except ValueError as error:
        raise InputError(f"{origin}: {error}; expected numbers in mm") from None
    if lps.shape != (3,) or not np.isfinite(lps).all() or (diameter is not None and not 0 < diameter < 1000):
        found = f"{list(position)} and {row.get('diameter_mm') or 'none'}"  # other columns may name anyone
        raise InputError(f"{origin}: expected a finite position and a positive diameter in mm, found {found}")
    nodule_id = (row.get("nodule_id") or f"nodule-{number:03d}").strip()
    if not _ID.fullmatch(nodule_id):
        raise InputError(f"{origin}: nodule_id {nodule_id!r} is not of letters, digits and ._-")
    series_uid = (row.get("series_uid") or "").strip() or None
    patient = (row.get("patientid") or row.get("patient_id") or "").strip()
    return AnnotatedNodule(nodule_id, lps, series_uid, diameter, columns=row, patient_id=patient, origin=origin)


def _read(path: Path) -> list[AnnotatedNodule]:
    columns, table = read_table(path, COLUMNS)
    axes, factors = next((each for each in _AXES if set(each[0]) <= set(columns)), _AXES[0])
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
        make_point(f"{path}, line {line}", number, row, [row[axis] for axis in axes], factors)
        for number, (line, row) in enumerate(table, start=1)
    ]
