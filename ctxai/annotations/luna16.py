"""LUNA16's ``annotations.csv``: nodules by Series Instance UID, in LPS mm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.spreadsheet import read_table
from ctxai.errors import InputError

_COLUMNS = "seriesuid,coordX,coordY,coordZ,diameter_mm"


class Luna16(AnnotationSource):
    """Nodules of LUNA16, numbered within their series: LUNA16 does not number them as LIDC-IDRI does.

    Raises:
        InputError: when the table is missing, or a line is damaged.
    """

    name = "luna16"
    description = "LUNA16's annotations.csv and candidates.csv (seriesuid, coordX, coordY, coordZ, diameter_mm)"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected LUNA16's annotations beside its subset folders")
        self._rows: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
        for line, row in read_table(path, _COLUMNS)[1]:
            if row.get("class", "1") in ("0", "0.0"):  # a candidate that is no nodule
                continue
            self._rows.setdefault(row.get("seriesuid", ""), []).append((f"{path}, line {line}", row))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first line names LUNA16's columns."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.readline(256).lower().replace(b'"', b"").startswith(b"seriesuid,coordx,coordy,coordz")

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Nodules of the series that are there."""
        wanted = {ct.series_uid for ct in cts}
        return Annotations(
            [
                _nodule(f"luna-{short_key(uid)}-{number:02d}", uid, origin, row)
                for uid, rows in self._rows.items()
                if uid in wanted
                for number, (origin, row) in enumerate(rows, start=1)
            ]
        )


def short_key(series_uid: str) -> str:
    """The first 8 digits of the SHA-256 of a UID, for names."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:8]


def _nodule(nodule_id: str, uid: str, origin: str, row: Mapping[str, str]) -> AnnotatedNodule:
    try:
        lps = np.array([float(row[name]) for name in ("coordx", "coordy", "coordz")])
        candidate = "class" in row and "diameter_mm" not in row  # of candidates.csv
        diameter = None if candidate else float(row["diameter_mm"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{origin}: expected numbers as coordX, coordY, coordZ, diameter_mm ({error})") from None
    if not np.isfinite([*lps, diameter or 0.0]).all():
        raise InputError(f"{origin}: expected finite numbers, found {lps.tolist()} and {diameter}")
    return AnnotatedNodule(nodule_id, lps, uid, diameter, origin=origin)
