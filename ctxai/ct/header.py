"""Headers of CT images: all that is known of a slice without its pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, CTImageStorage

from ctxai.ct.dicom_errors import PARSE_ERRORS, open_dataset, refuse_bomb, without_warnings
from ctxai.ct.elements import read_elements
from ctxai.ct.header_values import HeaderValues
from ctxai.ct.pixels import PixelLayout
from ctxai.errors import InputError, kind_of

#: Attributes in which the acquisitions, phases or reconstructions of one series differ, the most telling first.
ACQUISITION = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "KVP",
    "ConvolutionKernel",
    "AcquisitionTime",
    "ContentTime",
    "StackID",
    "FrameOfReferenceUID",
)
#: Attributes whose YES says that the pixels may tell who the patient is.
VISIBLE_IDENTITY = ("BurnedInAnnotation", "RecognizableVisualFeatures")
#: All that is read of an image's header. What is not plain is read by pydicom, which survives any damage.
_HEADER = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    *VISIBLE_IDENTITY,
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
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    *ACQUISITION,
]
#: Their tags, with keywords.
HEADER_TAGS = {tag: keyword for keyword in _HEADER if (tag := tag_for_keyword(keyword)) is not None}

#: Fields of a header that say nothing of the image.
_OF_THE_FILE = {"path", "searched", "pixels_at", "patient_id", "issuer", "visible_identity"}


def series_key(series_uid: str) -> str:
    """Name of a series for folders and logs: the first 12 digits of the SHA-256 of its UID."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class SliceHeader:
    """Attributes of one CT image that are needed, without its pixels.

    Attributes:
        position: ImagePositionPatient, LPS mm of the centre of the first pixel.
        orientation: ImageOrientationPatient, direction of a row and of a column.
        pixel_spacing_mm: PixelSpacing, distance of rows and of columns.
        native: the pixels are stored as they are, not compressed.
        layout: position of a value in its container, and padding values.
        pixels_at: where uncompressed pixels of 16 bits begin in the file, bytes; None where only pydicom can tell.
        slope: RescaleSlope; NaN where the image does not say how its values become Hounsfield units.
        intercept: RescaleIntercept; NaN likewise.
        instance_number: InstanceNumber, or the number of the frame, from 1; None where it is absent or no number.
        acquisition: what tells acquisitions and phases of one series apart, in the order of :data:`ACQUISITION`.
        searched: the folder or archive that the user named, under which the image was found; None for a single file.
        frame: number of the frame in an Enhanced CT, from 0; None for an image of its own.
        issuer: IssuerOfPatientID: two hospitals may give one id to two patients.
        visible_identity: those of :data:`VISIBLE_IDENTITY` that are YES.
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
    layout: PixelLayout
    acquisition: tuple[str, ...] = ()
    pixels_at: int | None = None
    searched: Path | None = None
    frame: int | None = None
    issuer: str = ""
    visible_identity: tuple[str, ...] = ()

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

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the image's header values, without the file's path and the patient."""
        said = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _OF_THE_FILE}
        plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in said.items()}
        return hashlib.sha256(repr(plain).encode()).hexdigest()


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
            quick = read_elements(file, HEADER_TAGS)
            if quick is not None:
                dataset: Mapping[str, Any] = quick.values
                syntax, bytes_left = quick.transfer_syntax, size - quick.pixels_at
            else:
                with without_warnings():
                    refuse_bomb(file, path)
                    parsed = open_dataset(file, stop_before_pixels=True, specific_tags=[*_HEADER])
                dataset = cast(Mapping[str, Any], parsed)
                syntax, bytes_left = parsed.file_meta.TransferSyntaxUID, size - file.tell()
    except InvalidDicomError:
        return None
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: damaged DICOM file ({kind_of(error)}); export it again") from None
    try:
        with without_warnings():
            if dataset.get("SOPClassUID") != CTImageStorage:
                return None
            values = HeaderValues(dataset, path)
            header = slice_header(values, syntax, searched)
            expected = header.rows * header.columns * values.sample_bytes()
            if quick is not None and header.native:
                layout = header.layout
                if layout.allocated == 16 and layout.high_bit < 16:
                    header = replace(header, pixels_at=quick.pixels_at)
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: damaged DICOM header ({kind_of(error)}); export it again") from None
    if header.native and bytes_left < expected:
        raise InputError(f"{path}: cut short: {expected} bytes of pixels expected, {bytes_left} found; export it again")
    return header


def slice_header(values: HeaderValues, syntax: UID, searched: Path | None) -> SliceHeader:
    """Header of an image from its checked values.

    Raises:
        InputError: when a value is missing or wrong that places the image in the patient.
    """
    position, orientation, spacing = values.image_plane()
    slope, intercept = values.rescale()
    number = values.number("InstanceNumber")
    thickness = values.number("SliceThickness")
    return SliceHeader(
        path=values.path,
        sop_uid=values.uid("SOPInstanceUID"),
        series_uid=values.uid("SeriesInstanceUID"),
        study_uid=values.uid("StudyInstanceUID"),
        patient_id=values.identity("PatientID"),
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
        slice_thickness_mm=thickness if thickness is None or thickness > 0 else None,
        manufacturer=values.text("Manufacturer"),
        modality=values.text("Modality"),
        instance_number=None if number is None or abs(number) > 2**31 else int(number),
        layout=values.layout(),
        acquisition=tuple("\\".join(values.texts(keyword)) for keyword in ACQUISITION),
        searched=searched,
        issuer=values.identity("IssuerOfPatientID"),
        visible_identity=tuple(keyword for keyword in VISIBLE_IDENTITY if values.text(keyword).upper() == "YES"),
    )
