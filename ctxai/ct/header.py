"""Headers of CT images: all that is known of a slice without its pixels."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_preamble
from pydicom.multival import MultiValue
from pydicom.uid import UID, CTImageStorage, DeflatedExplicitVRLittleEndian

from ctxai.ct.elements import read_elements
from ctxai.errors import InputError
from ctxai.folders import it_is

#: All that is read of an image's header. What is not plain is read by pydicom, which survives any damage.
_HEADER = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "FrameOfReferenceUID",
    "Manufacturer",
    "ImageType",
    "InstanceNumber",
    "Modality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
]
_TAGS = {tag_for_keyword(keyword): keyword for keyword in _HEADER}
#: A process that reads headers takes this many files at a time; starting one takes as long as a few thousand files.
_FILES_PER_JOB = 2000
#: More rows or columns than any CT has; what claims more is refused before memory is taken for it.
MAX_SIDE = 4096
#: What a deflated data set may grow to.
_MAX_INFLATED = 2**28
#: Pixel spacings of any scanner, and positions in any room, mm.
_SPACING_MM, _POSITION_MM = (1e-3, 1e2), 1e5
#: A UID as DICOM has it, and as files have it that were made anonymous carelessly.
_UID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: What pydicom raises on damaged content.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

logger = logging.getLogger(__name__)


def series_key(series_uid: str) -> str:
    """Name of a series for folders and logs: the first 12 digits of the SHA-256 of its UID."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class PlainPixels:
    """Pixels of 16 bits, little endian, that lie in their file as they are.

    Attributes:
        offset: where they begin, bytes.
        bits: how many bits, the lowest ones, belong to the value (BitsStored).
        signed: the value is a two's complement of so many bits.
    """

    offset: int
    bits: int
    signed: bool


@dataclass(frozen=True)
class SliceHeader:
    """What is needed of one CT image, without its pixels.

    Attributes:
        position: ImagePositionPatient, LPS mm of the centre of the first pixel.
        orientation: ImageOrientationPatient, direction of a row and of a column.
        pixel_spacing_mm: PixelSpacing, distance of rows and of columns.
        native: the pixels are stored as they are, not compressed.
        plain: where they lie in the file; None where only pydicom can say.
        slope: RescaleSlope; NaN where the image does not say how its values become Hounsfield units.
        intercept: RescaleIntercept; NaN likewise.
        instance_number: InstanceNumber; None where there is none.
        given: the folder or archive that the user named, under which the image was found; None for a single file.
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
    modality: str
    instance_number: int | None
    plain: PlainPixels | None = None
    given: Path | None = None

    @property
    def place(self) -> str:
        """Where the series is, for messages: what the user named and no folder below it, which may name a patient."""
        if self.given is None or self.given == self.path.parent:
            return str(self.path.parent)
        return f"{self.given}, series {series_key(self.series_uid)}"

    @property
    def name(self) -> str:
        """Which image this is, for messages: its number in its series, where it was found by a search."""
        if self.given is None:
            return str(self.path)
        which = self.sop_uid if self.instance_number is None else self.instance_number
        return f"{self.place}, image {which}"


def read_header(path: Path, given: Path | None = None) -> SliceHeader | None:
    """Header of one CT image, or None when the file is something else.

    Args:
        path: the file.
        given: the folder or archive that the user named, where the file was found by a search.

    Raises:
        InputError: when a CT image lacks what places it in the patient, or is damaged.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            quick = read_elements(file, _TAGS)
            if quick is not None:
                dataset: Mapping[str, Any] = quick.values
                syntax, bytes_left = quick.transfer_syntax, size - quick.pixels_at
            else:
                with without_warnings():
                    _refuse_bomb(file, path)
                    file.seek(0)
                    parsed = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_HEADER)
                dataset, syntax, bytes_left = parsed, parsed.file_meta.get("TransferSyntaxUID"), size - file.tell()
    except InvalidDicomError:
        return None
    except DAMAGE as error:
        raise InputError(f"{path}: damaged DICOM file ({error}); export it again") from None
    try:
        with without_warnings():
            if dataset.get("SOPClassUID") != CTImageStorage:
                return None
            header = _slice_header(path, dataset, syntax, given)
            expected = _bytes_of_pixels(path, dataset, header)
            if quick is not None and header.native:
                header = replace(header, plain=_plain_pixels(dataset, quick.pixels_at))
    except DAMAGE as error:
        raise InputError(f"{path}: damaged DICOM header ({error}); export it again") from None
    if header.native and bytes_left < expected:
        raise InputError(f"{path}: cut short: {expected} bytes of pixels expected, {bytes_left} found; export it again")
    return header


@contextmanager
def without_warnings() -> Iterator[None]:
    """Let pydicom read what breaks DICOM's rules in silence: its warnings quote values, and what counts is checked."""
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        yield


def _refuse_bomb(file: BinaryIO, path: Path) -> None:
    """Refuse a deflated data set that would fill the memory, because pydicom inflates it whole."""
    if read_file_meta_info(path).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    file.seek(0)
    read_preamble(file, force=False)
    read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    inflated, inflater = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof and (data := inflater.unconsumed_tail or file.read(1 << 16)):
        inflated += len(inflater.decompress(data, 1 << 20))
        if inflated > _MAX_INFLATED:
            raise InputError(f"{path}: inflates to more than {_MAX_INFLATED >> 20} MiB, which no CT image does")


def find_series(
    folder: Path | str, damaged: dict[Path, str] | None = None, workers: int = 0, called: Path | None = None
) -> dict[str, list[SliceHeader]]:
    """Headers of every CT image under ``folder``, by Series Instance UID, in the order of the paths.

    Hidden files, files that are not DICOM, and objects that are not CT images are passed over. Messages name ``folder``
    and no file below it, because exported files are often named by their patient: a file is told by its place in the
    sorted list of all. At the log level DEBUG it is named.

    Args:
        folder: a folder at any depth, or one file.
        damaged: where given, a CT image that cannot be read is noted here instead of ending the search.
        workers: processes that read a large tree; 0 reads in this one.
        called: what messages call ``folder``, such as the archive that was unpacked there.

    Raises:
        InputError: when the folder does not exist or holds no CT image, or an image cannot be read.
    """
    folder = Path(folder)
    called = folder if called is None else called
    if not folder.exists():
        raise InputError(f"{called}: no such folder; give a folder of DICOM CT images")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    series: dict[str, list[SliceHeader]] = {}
    read = _read_headers(files, workers, called)
    for number, (path, found) in enumerate(zip(files, read, strict=True), start=1):
        if isinstance(found, str):
            if path != called:
                told = f"{called}, file {number} of {len(files)} in the order of names"
                logger.debug("%s is %s", told, path)
                found = found.replace(str(path), told)
            if damaged is None:
                raise InputError(found)
            damaged[path] = found
        elif found is not None:
            series.setdefault(found.series_uid, []).append(found)
    if not series:
        raise InputError(
            f"{called}: no DICOM CT image found among {len(files)} file(s){it_is(folder)}; give a folder of a CT series"
        )
    for headers in series.values():
        logger.debug("%s is in %s", headers[0].place, headers[0].path.parent)
    return series


def _read_headers(files: Sequence[Path], workers: int, given: Path) -> Iterable[SliceHeader | str | None]:
    """Header of each file, in order; the words of the error where it cannot be read."""
    read = partial(_header_or_error, given=given)
    if workers <= 1 or len(files) < _FILES_PER_JOB * 2:
        return map(read, files)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(read, files, chunksize=_FILES_PER_JOB))


def _header_or_error(path: Path, given: Path) -> SliceHeader | str | None:
    try:
        return read_header(path, None if path == given else given)
    except InputError as error:
        return str(error)


def _slice_header(path: Path, dataset: Mapping[str, Any], syntax: UID, given: Path | None) -> SliceHeader:
    position = _numbers(dataset.get("ImagePositionPatient"), 3, path, "ImagePositionPatient")
    orientation = _numbers(dataset.get("ImageOrientationPatient"), 6, path, "ImageOrientationPatient")
    spacing = _numbers(dataset.get("PixelSpacing"), 2, path, "PixelSpacing")
    if spacing.min() < _SPACING_MM[0] or spacing.max() > _SPACING_MM[1]:
        raise InputError(
            f"{path}: PixelSpacing is {spacing.tolist()}, expected two numbers from {_SPACING_MM[0]:g} to "
            f"{_SPACING_MM[1]:g} mm"
        )
    if np.abs(position).max() > _POSITION_MM:
        raise InputError(f"{path}: ImagePositionPatient is {position.tolist()}, further than {_POSITION_MM:g} mm off")
    if abs(orientation[:3] @ orientation[3:]) > 1e-3 or not np.allclose(
        [np.linalg.norm(orientation[:3]), np.linalg.norm(orientation[3:])], 1, atol=1e-3
    ):
        raise InputError(
            f"{path}: ImageOrientationPatient {orientation.tolist()} is not two unit vectors at right angles"
        )
    slope, intercept = _rescale(path, dataset)
    number = _optional_number(dataset.get("InstanceNumber"))
    return SliceHeader(
        path=path,
        sop_uid=_uid(dataset, "SOPInstanceUID", path),
        series_uid=_uid(dataset, "SeriesInstanceUID", path),
        study_uid=_uid(dataset, "StudyInstanceUID", path),
        patient_id=_text(dataset.get("PatientID")),
        frame_of_reference_uid=_text(dataset.get("FrameOfReferenceUID")),
        position=position,
        orientation=orientation,
        pixel_spacing_mm=(float(spacing[0]), float(spacing[1])),
        rows=_side(dataset, "Rows", path),
        columns=_side(dataset, "Columns", path),
        native=not (syntax.is_compressed or syntax.is_deflated),
        slope=slope,
        intercept=intercept,
        image_type=tuple(str(part) for part in _as_sequence(dataset.get("ImageType"))),
        slice_thickness_mm=_optional_number(dataset.get("SliceThickness")),
        manufacturer=_text(dataset.get("Manufacturer")),
        modality=_text(dataset.get("Modality")),
        instance_number=None if number is None or abs(number) > 2**31 else int(number),
        given=given,
    )


def _bytes_of_pixels(path: Path, dataset: Mapping[str, Any], header: SliceHeader) -> int:
    """Length of the pixels of one image of one sample; anything else is refused."""
    for keyword in ("SamplesPerPixel", "NumberOfFrames"):
        if int(dataset.get(keyword) or 1) != 1:
            raise InputError(f"{path}: {keyword} is {dataset.get(keyword)}, expected 1 in a CT image")
    bits = int(dataset.get("BitsAllocated") or 0)
    if bits not in (8, 16, 32):
        raise InputError(f"{path}: BitsAllocated is {bits}, expected 16")
    return header.rows * header.columns * bits // 8


def _plain_pixels(dataset: Mapping[str, Any], offset: int) -> PlainPixels | None:
    """None for another layout than 16 bits with the value in the lowest ones."""
    allocated, bits = int(dataset.get("BitsAllocated") or 0), int(dataset.get("BitsStored") or 0)
    high, signed = dataset.get("HighBit"), dataset.get("PixelRepresentation")
    if allocated != 16 or not 1 <= bits <= 16 or high != bits - 1 or signed not in (0, 1):
        return None
    return PlainPixels(offset, bits, bool(signed))


def _side(dataset: Mapping[str, Any], keyword: str, path: Path) -> int:
    side = int(dataset.get(keyword) or 0)
    if not 1 <= side <= MAX_SIDE:
        raise InputError(f"{path}: {keyword} is {side}, expected 1 to {MAX_SIDE}")
    return side


def _uid(dataset: Mapping[str, Any], keyword: str, path: Path) -> str:
    """A UID that can do no harm in a table or an object that refers to it."""
    uid = _text(dataset.get(keyword))
    if not _UID.fullmatch(uid):
        raise InputError(f"{path}: {keyword} is {uid[:64]!r}, expected at most 64 digits and dots")
    return uid


def _rescale(path: Path, dataset: Mapping[str, Any]) -> tuple[float, float]:
    """Slope and intercept; both NaN where they are absent or lead to something else than Hounsfield units."""
    values = [dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")]
    if any(value in (None, "") for value in values) or _text(dataset.get("RescaleType")) not in {"", "HU"}:
        return float("nan"), float("nan")
    slope, intercept = _numbers(values, 2, path, "RescaleSlope and RescaleIntercept")
    if slope == 0:
        raise InputError(f"{path}: RescaleSlope is 0, so there are no Hounsfield units")
    return float(slope), float(intercept)


def _optional_number(value: object) -> float | None:
    return None if value in (None, "") else float(str(value))


def _numbers(value: object, count: int, path: Path, name: str) -> np.ndarray:
    """``count`` finite numbers out of a data element."""
    try:
        numbers = np.array([float(v) for v in _as_sequence(value)])
    except (TypeError, ValueError):
        numbers = np.array([])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{path}: {name} is {str(value)[:80]!r}, expected {count} finite number(s)")
    return numbers


def _as_sequence(value: object) -> Sequence:
    if value is None:
        return []
    return value if isinstance(value, Sequence | MultiValue) and not isinstance(value, str) else [value]


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
