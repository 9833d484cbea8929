"""CT series: headers are cheap, pixels are read on demand."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom

from ctxai.ct.dicom_errors import open_dataset
from ctxai.ct.geometry import STRICT, WARNED, Fault, GeometryRules
from ctxai.ct.grid import Grid
from ctxai.ct.header import SliceHeader, read_header, series_key
from ctxai.ct.pixels import AIR_HU, INT16_MAX, hounsfield
from ctxai.ct.search import find_series
from ctxai.ct.slice_sorting import stack
from ctxai.errors import InputError
from ctxai.files import sha256

__all__ = ["AIR_HU", "CTSeries", "find_series", "read_header", "read_series"]

#: What 12 bits hold; higher values come from metal or a scanner's extended scale.
HIGHEST_USUAL_HU = 3071
#: Decoded slices that a series keeps: what one patch of 64 mm takes of a series of 1 mm, 32 MB of 512 x 512.
_KEPT_SLICES = 64


logger = logging.getLogger(__name__)


class CTSeries:
    """One CT series as a volume, sorted along the normal of the image plane.

    Args:
        headers: the images of the series, in any order; localizers are left out.
        rules: which faults are repaired; by default none, so that the slices are one regular volume.

    Attributes:
        headers: the slices that are used, in order.
        source_label: where it is, for messages.
        report: every fault found in the headers.
        grid: where the voxels are; for a repaired series, a regular grid over the same range.
        slice_coordinates: index of each slice on the slice axis of ``grid``: 0, 1, 2 … unless ``regular`` is false.
        pixel_faults: faults that only pixels show, of the slices read so far.

    Raises:
        GeometryError: for a fault that the rules do not repair.
    """

    def __init__(self, headers: Iterable[SliceHeader], rules: GeometryRules = STRICT) -> None:
        found = stack(list(headers), rules)
        found.report.require_regular()
        for fault, text in found.report.faults.items():
            if fault in WARNED:
                logger.warning("%s: %s: %s", found.report.series, fault, text)
        self.headers, self.report, self.slice_coordinates = found.headers, found.report, found.slice_coordinates
        for keyword in sorted({keyword for header in self.headers for keyword in header.visible_identity}):
            logger.warning("%s: %s is YES: the pixels may tell who the patient is", found.report.series, keyword)
        assert found.grid is not None  # no fault blocks
        self.grid: Grid = found.grid
        self.rules = rules
        self.source_label = self.headers[0].source_label
        self.pixel_faults: dict[Fault, str] = {}
        self._recent: dict[int, tuple[np.ndarray, float, float, bool]] = {}

    @property
    def regular(self) -> bool:
        """Whether the slices are evenly spaced, so that slice k of :meth:`read` is slice k of ``grid``."""
        return len(self.headers) == self.grid.shape[0] and bool(
            (self.slice_coordinates == np.arange(len(self.slice_coordinates))).all()
        )

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return self.headers[0].series_uid

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.headers[0].study_uid

    @property
    def patient_id(self) -> str:
        """PatientID as in the images; never used in a path or a log."""
        return self.headers[0].patient_id

    @property
    def manufacturer(self) -> str:
        """Manufacturer of the scanner."""
        return self.headers[0].manufacturer

    @property
    def slice_thickness_mm(self) -> float | None:
        """SliceThickness of the first slice, mm; the distance of slices is often smaller."""
        return self.headers[0].slice_thickness_mm

    @property
    def multiframe(self) -> bool:
        """Whether slices are frames of an Enhanced CT."""
        return any(header.frame is not None for header in self.headers)

    @property
    def key(self) -> str:
        """Name for folders and logs: the first 12 digits of the SHA-256 of the Series Instance UID."""
        return series_key(self.series_uid)

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of the files of all slices, headers and pixels, whatever their names and order."""
        of_file = {path: sha256(path) for path in {header.path for header in self.headers}}
        digests = sorted(
            of_file[one.path] if one.frame is None else f"{of_file[one.path]} {one.frame}" for one in self.headers
        )
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    @cached_property
    def slice_z_mm(self) -> np.ndarray:
        """z (LPS mm) of the first pixel of each slice."""
        return np.array([header.position[2] for header in self.headers])

    def read(self, start: int = 0, stop: int | None = None, window: tuple[slice, slice] | None = None) -> np.ndarray:
        """Hounsfield units of the slices ``start`` to ``stop``, int16 [slice, row, column].

        Values below -1024 HU are padding and become -1024.

        Args:
            start: first slice.
            stop: one past the last slice; by default to the end.
            window: rows and columns; by default all.

        Raises:
            InputError: when a file cannot be decoded; names it.
        """
        numbers = range(len(self.headers))[start:stop]
        rows, columns = window or (slice(None), slice(None))
        shape = tuple(len(range(n)[part]) for n, part in zip(self.grid.shape[1:], (rows, columns), strict=True))
        hu = np.empty((len(numbers), *shape), dtype=np.int16)
        for target, number in zip(hu, numbers, strict=True):
            whole, low, high, padded = self._slice(number)
            target[:] = whole[rows, columns]
            if padded:
                self.pixel_faults[Fault.PADDING] = f"padding became {AIR_HU}"
            if low < AIR_HU:
                self.pixel_faults[Fault.PADDING] = f"values down to {low:g} HU became {AIR_HU}"
            if high > HIGHEST_USUAL_HU:
                self.pixel_faults[Fault.OVERFLOW] = f"values up to {min(high, INT16_MAX):g} HU were kept"
        return hu

    def _slice(self, number: int) -> tuple[np.ndarray, float, float, bool]:
        """Hounsfield units of one slice, int16 [row, column], its range before clipping, and padding.

        The last slices read are kept, because nodules of one series often share them.
        """
        if number not in self._recent:
            while len(self._recent) >= _KEPT_SLICES:
                del self._recent[next(iter(self._recent))]
            self._recent[number] = hounsfield(self.headers[number])
        return self._recent[number]

    def source_datasets(self) -> list[pydicom.Dataset]:
        """The images' data sets without pixels, sorted as the volume: the sources that derived objects refer to."""
        return [open_dataset(header.path, stop_before_pixels=True) for header in self.headers]


def read_series(folder: Path | str, series_uid: str | None = None, acquisitions: Sequence[str] = ()) -> CTSeries:
    """The CT series in ``folder``.

    Args:
        folder: where the images are, at any depth, under any names.
        series_uid: which one, where there are several.
        acquisitions: which acquisition, where it has several.

    Raises:
        InputError: when there is none, or several and none was named.
        GeometryError: when its slices are not one regular volume.
    """
    found = find_series(folder)
    if series_uid is None:
        if len(found) > 1:
            raise InputError(f"{folder}: holds {len(found)} CT series, expected one; give the folder of one of them")
        series_uid = next(iter(found))
    if series_uid not in found:
        raise InputError(f"{folder}: no CT series with the UID {series_uid} among the {len(found)} found")
    return CTSeries(found[series_uid], replace(STRICT, acquisitions=tuple(acquisitions)))
