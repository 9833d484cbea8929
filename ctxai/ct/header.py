"""Headers of CT images: all that is known of a slice without its pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, CTImageStorage

from ctxai.ct.dicom_errors import PARSE_ERRORS, refuse_bomb, without_warnings
from ctxai.ct.elements import read_elements
from ctxai.ct.header_values import HeaderValues
from ctxai.errors import InputError, kind_of

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
        searched: the folder or archive that the user named, under which the image was found; None for a single file.
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
    searched: Path | None = None

    @property
    def source_label(self) -> str:
        """Where the series is, for messages: what the user named and no folder below it, which may name a patient."""
        if self.searched is None or self.searched == self.path.parent:
            return str(self.path.parent)
        return f"{self.searched}, series {series_key(self.series_uid)}"

    @property
    def image_label(self) -> str:
        """Which image this is, for messages: its number in its series, where it was found by a search."""
        if self.searched is None:
            return str(self.path)
        which = self.sop_uid if self.instance_number is None else self.instance_number
        return f"{self.source_label}, image {which}"


def read_header(path: Path, searched: Path | None = None) -> SliceHeader | None:
    """Header of one CT image, or None when the file is something else.

    Args:
        path: the file.
        searched: the folder or archive that the user named, where the file was found by a search.

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
                    refuse_bomb(file, path)
                    file.seek(0)
                    parsed = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_HEADER)
                dataset, syntax, bytes_left = parsed, parsed.file_meta.get("TransferSyntaxUID"), size - file.tell()
    except InvalidDicomError:
        return None
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: damaged DICOM file ({kind_of(error)}); export it again") from None
    try:
        with without_warnings():
            if dataset.get("SOPClassUID") != CTImageStorage:
                return None
            values = HeaderValues(dataset, path)
            header = _slice_header(values, syntax, searched)
            expected = header.rows * header.columns * values.sample_bytes()
            if quick is not None and header.native:
                header = replace(header, plain=_plain_pixels(dataset, quick.pixels_at))
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: damaged DICOM header ({kind_of(error)}); export it again") from None
    if header.native and bytes_left < expected:
        raise InputError(f"{path}: cut short: {expected} bytes of pixels expected, {bytes_left} found; export it again")
    return header


def _slice_header(values: HeaderValues, syntax: UID, searched: Path | None) -> SliceHeader:
    position, orientation, spacing = values.image_plane()
    slope, intercept = values.rescale()
    number = values.number("InstanceNumber")
    return SliceHeader(
        path=values.path,
        sop_uid=values.uid("SOPInstanceUID"),
        series_uid=values.uid("SeriesInstanceUID"),
        study_uid=values.uid("StudyInstanceUID"),
        patient_id=values.text("PatientID"),
        frame_of_reference_uid=values.text("FrameOfReferenceUID"),
        position=position,
        orientation=orientation,
        pixel_spacing_mm=spacing,
        rows=values.side("Rows"),
        columns=values.side("Columns"),
        native=not (syntax.is_compressed or syntax.is_deflated),
        slope=slope,
        intercept=intercept,
        image_type=values.texts("ImageType"),
        slice_thickness_mm=values.number("SliceThickness"),
        manufacturer=values.text("Manufacturer"),
        modality=values.text("Modality"),
        instance_number=None if number is None or abs(number) > 2**31 else int(number),
        searched=searched,
    )


def _plain_pixels(dataset: Mapping[str, Any], offset: int) -> PlainPixels | None:
    """None for another layout than 16 bits with the value in the lowest ones."""
    allocated, bits = int(dataset.get("BitsAllocated") or 0), int(dataset.get("BitsStored") or 0)
    high, signed = dataset.get("HighBit"), dataset.get("PixelRepresentation")
    if allocated != 16 or not 1 <= bits <= 16 or high != bits - 1 or signed not in (0, 1):
        return None
    return PlainPixels(offset, bits, bool(signed))
