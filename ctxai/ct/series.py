"""CT series: headers are cheap, pixels are read on demand."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dicomsdl
import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import CTImageStorage

from ctxai.ct.geometry import Fault, GeometryReport, spacing_faults
from ctxai.ct.grid import Grid
from ctxai.errors import GeometryError, InputError

#: Hounsfield units of air; anything lower is padding outside the reconstructed circle.
AIR_HU = -1024

#: All that is read of an image's header; pydicom reads it because it survives any damage, which dicomsdl does not.
_HEADER = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "FrameOfReferenceUID",
    "Manufacturer",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "Rows",
    "Columns",
    "BitsAllocated",
    "RescaleSlope",
    "RescaleIntercept",
]
#: What pydicom raises on damaged content.
_DAMAGE = (AttributeError, EOFError, KeyError, NotImplementedError, OSError, TypeError, ValueError, struct.error)


@dataclass(frozen=True)
class SliceHeader:
    """What is needed of one CT image, without its pixels.

    Attributes:
        position: ImagePositionPatient, LPS mm of the centre of the first pixel.
        orientation: ImageOrientationPatient, direction of a row and of a column.
        pixel_spacing_mm: PixelSpacing, distance of rows and of columns.
        native: the pixels are stored as they are, not compressed.
    """

    path: Path
    sop_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    frame_of_reference_uid: str
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int
    native: bool
    slope: float
    intercept: float
    image_type: tuple[str, ...]
    slice_thickness_mm: float | None
    manufacturer: str


class CTSeries:
    """One CT series as one regular volume, sorted along the normal of the image plane.

    Args:
        headers: the images of the series, in any order; localizers are left out.

    Raises:
        GeometryError: when the slices are not one regular volume.
    """

    def __init__(self, headers: Iterable[SliceHeader]) -> None:
        headers = list(headers)
        slices = [header for header in headers if "LOCALIZER" not in header.image_type]
        if not slices:
            raise GeometryError(f"{headers[0].path.parent if headers else 'series'}: no CT slice besides localizers")
        first = slices[0]
        self.folder = first.path.parent
        faults: dict[Fault, str] = {}
        if len(slices) < len(headers):
            faults[Fault.LOCALIZER] = f"{len(headers) - len(slices)} localizer image(s) left out"
        turned = [h for h in slices if not np.allclose(h.orientation, first.orientation, atol=1e-3)]
        if turned:
            faults[Fault.MIXED_ORIENTATION] = f"{len(turned)} of {len(slices)} slices are oriented otherwise"
        layouts = {(h.rows, h.columns, h.pixel_spacing_mm) for h in slices}
        if len(layouts) > 1:
            faults[Fault.MIXED_SIZE] = f"{len(layouts)} different sizes or pixel spacings"
        normal = np.cross(first.orientation[:3], first.orientation[3:])
        distances = np.array([header.position @ normal for header in slices])
        order = np.argsort(distances, kind="stable")
        self.headers: tuple[SliceHeader, ...] = tuple(slices[i] for i in order)
        faults |= spacing_faults(distances[order])
        step = self.headers[-1].position - self.headers[0].position
        step = step / max(len(slices) - 1, 1)
        if len(slices) > 1 and np.linalg.norm(np.cross(step, normal)) > 1e-3 * np.linalg.norm(step):
            angle = np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1)))
            faults[Fault.TILT] = f"slices are stacked {angle:.2f} degrees off the normal of the image plane"
        self.report = GeometryReport(str(self.folder), faults)
        self.report.require_regular()
        affine = np.eye(4)
        affine[:3, 0] = first.orientation[:3] * first.pixel_spacing_mm[1]
        affine[:3, 1] = first.orientation[3:] * first.pixel_spacing_mm[0]
        affine[:3, 2] = step
        affine[:3, 3] = self.headers[0].position
        self.grid = Grid((len(self.headers), first.rows, first.columns), affine)

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
    def key(self) -> str:
        """Name for folders and logs: the first 12 digits of the SHA-256 of the Series Instance UID."""
        return hashlib.sha256(self.series_uid.encode()).hexdigest()[:12]

    @cached_property
    def slice_z_mm(self) -> np.ndarray:
        """z (LPS mm) of the first pixel of each slice."""
        return np.array([header.position[2] for header in self.headers])

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Hounsfield units of the slices ``start`` to ``stop``, int16 [slice, row, column].

        Values below -1024 HU are padding and become -1024.

        Raises:
            InputError: when a file cannot be decoded; names it.
        """
        headers = self.headers[start:stop]
        _, rows, columns = self.grid.shape
        hu = np.empty((len(headers), rows, columns), dtype=np.int16)
        for target, header in zip(hu, headers, strict=True):
            stored = _stored_values(header)
            if header.slope == 1 and header.intercept.is_integer():
                values = stored.astype(np.int32) + int(header.intercept)
            else:
                values = np.rint(stored * header.slope + header.intercept)
            np.clip(values, AIR_HU, np.iinfo(np.int16).max, out=target, casting="unsafe")
        return hu

    def source_datasets(self) -> list[pydicom.Dataset]:
        """The images' data sets without pixels, sorted as the volume: the sources that derived objects refer to."""
        return [pydicom.dcmread(header.path, stop_before_pixels=True) for header in self.headers]


def find_series(folder: Path | str, damaged: dict[Path, str] | None = None) -> dict[str, list[SliceHeader]]:
    """Headers of every CT image under ``folder``, by Series Instance UID, in the order of the paths.

    Hidden files, files that are not DICOM, and objects that are not CT images are passed over.

    Args:
        folder: a folder at any depth, or one file.
        damaged: where given, a CT image that cannot be read is noted here instead of ending the search.

    Raises:
        InputError: when the folder does not exist or holds no CT image, or an image cannot be read.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder}: no such folder; give a folder of DICOM CT images")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    series: dict[str, list[SliceHeader]] = {}
    for path in files:
        try:
            header = read_header(path)
        except InputError as error:
            if damaged is None:
                raise
            damaged[path] = str(error)
            continue
        if header is not None:
            series.setdefault(header.series_uid, []).append(header)
    if not series:
        raise InputError(f"{folder}: no DICOM CT image found among {len(files)} file(s); give a folder of a CT series")
    return series


def read_series(folder: Path | str, series_uid: str | None = None) -> CTSeries:
    """The CT series in ``folder``.

    Args:
        folder: where the images are, at any depth, under any names.
        series_uid: which one, where there are several.

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
    return CTSeries(found[series_uid])


def read_header(path: Path) -> SliceHeader | None:
    """Header of one CT image, or None when the file is something else.

    Raises:
        InputError: when a CT image lacks what places it in the patient, or cannot be read as Hounsfield units.
    """
    try:
        with path.open("rb") as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_HEADER)
            bytes_left = path.stat().st_size - file.tell()
    except InvalidDicomError:
        return None
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged DICOM file ({error}); export it again") from None
    if dataset.get("SOPClassUID") != CTImageStorage:
        return None
    try:
        header = _slice_header(path, dataset)
        expected = header.rows * header.columns * int(dataset.BitsAllocated) // 8
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged DICOM header ({error}); export it again") from None
    if header.native and bytes_left < expected:
        raise InputError(f"{path}: cut short: {expected} bytes of pixels expected, {bytes_left} found; export it again")
    return header


def _slice_header(path: Path, dataset: pydicom.Dataset) -> SliceHeader:
    position = _numbers(dataset.get("ImagePositionPatient"), 3, path, "ImagePositionPatient")
    orientation = _numbers(dataset.get("ImageOrientationPatient"), 6, path, "ImageOrientationPatient")
    spacing = _numbers(dataset.get("PixelSpacing"), 2, path, "PixelSpacing")
    if spacing.min() <= 0:
        raise InputError(f"{path}: PixelSpacing is {spacing.tolist()}, expected two positive numbers (mm)")
    if abs(orientation[:3] @ orientation[3:]) > 1e-3 or not np.allclose(
        [np.linalg.norm(orientation[:3]), np.linalg.norm(orientation[3:])], 1, atol=1e-3
    ):
        raise InputError(
            f"{path}: ImageOrientationPatient {orientation.tolist()} is not two unit vectors at right angles"
        )
    slope, intercept = _numbers(
        [dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")], 2, path, "RescaleSlope and RescaleIntercept"
    )
    if slope == 0:
        raise InputError(f"{path}: RescaleSlope is 0, so there are no Hounsfield units")
    syntax = dataset.file_meta.TransferSyntaxUID
    return SliceHeader(
        path=path,
        sop_uid=_text(dataset.get("SOPInstanceUID")),
        series_uid=_text(dataset.get("SeriesInstanceUID")),
        study_uid=_text(dataset.get("StudyInstanceUID")),
        patient_id=_text(dataset.get("PatientID")),
        frame_of_reference_uid=_text(dataset.get("FrameOfReferenceUID")),
        position=position,
        orientation=orientation,
        pixel_spacing_mm=(float(spacing[0]), float(spacing[1])),
        rows=int(dataset.get("Rows") or 0),
        columns=int(dataset.get("Columns") or 0),
        native=not (syntax.is_compressed or syntax.is_deflated),
        slope=float(slope),
        intercept=float(intercept),
        image_type=tuple(str(part) for part in _as_sequence(dataset.get("ImageType"))),
        slice_thickness_mm=_optional_number(dataset.get("SliceThickness")),
        manufacturer=_text(dataset.get("Manufacturer")),
    )


def _stored_values(header: SliceHeader) -> np.ndarray:
    """Stored pixel values [row, column]: native ones (of known length) by dicomsdl, others by pydicom's plug-ins."""
    try:
        if header.native:
            stored = dicomsdl.open(str(header.path)).pixelData(storedvalue=True)
        else:
            stored = pydicom.dcmread(header.path).pixel_array
    except (*_DAMAGE, RuntimeError, dicomsdl.DicomException) as error:
        raise InputError(f"{header.path}: pixels cannot be decoded ({error}); export it again") from None
    if stored is None or stored.shape != (header.rows, header.columns):
        found = None if stored is None else stored.shape
        raise InputError(f"{header.path}: expected {header.rows}x{header.columns} pixels, found {found}")
    return stored


def _optional_number(value: object) -> float | None:
    return None if value in (None, "") else float(str(value))


def _numbers(value: object, count: int, path: Path, name: str) -> np.ndarray:
    """``count`` finite numbers out of a data element."""
    try:
        numbers = np.array([float(v) for v in _as_sequence(value)])
    except (TypeError, ValueError):
        numbers = np.array([])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{path}: {name} is {value!r}, expected {count} finite number(s)")
    return numbers


def _as_sequence(value: object) -> Sequence:
    if value is None:
        return []
    return value if isinstance(value, Sequence | MultiValue) and not isinstance(value, str) else [value]


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
