"""DICOM Secondary Capture series: colour pictures of CT slices, for viewers that overlay nothing (PS3.3 A.8.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from highdicom import PatientOrientationValuesBiped
from highdicom.sc import SCImage
from highdicom.spatial import get_closest_patient_orientation
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from ctxai.ct.grid import Grid
from ctxai.errors import InputError
from ctxai.export.dicom import codes
from ctxai.export.dicom.derived import document_arguments, finish_and_write_series, shared_arguments
from ctxai.export.dicom.part10 import Elements, encode
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import SparseVolume

_SERIES_NUMBER = 9301
_POSITION = "ImagePositionPatient"


def write_secondary_capture(
    folder: Path | str,
    pictures: Mapping[int, np.ndarray],
    source: SourceSeries,
    provenance: Provenance,
    deflated: bool = True,
) -> list[Dataset]:
    """Write one picture per slice as a series of its own, in the order of the slices.

    Each keeps its slice's position, orientation and pixel spacing, so that viewers scroll it along with the CT.

    Args:
        folder: where; the files are named by method, target and slice.
        pictures: uint8 [row, column, (red, green, blue)] of the CT's rows and columns, by slice of the CT's grid; each
            is taken twice, and none is kept.
        source: the CT.
        provenance: how the pictures' content was made.
        deflated: write Deflated Explicit VR Little Endian instead of Explicit VR Little Endian.

    Returns:
        References to the objects.

    Raises:
        InputError: when there is no picture, or one is not of the CT's size.
    """
    if not pictures:
        raise InputError(f"{folder}: no slice to show")
    numbers = sorted(pictures)
    files = {
        Path(folder) / f"{provenance.stem}_{number:04d}.dcm": _own_elements(source.instances[number], place)
        for place, number in enumerate(numbers, start=1)
    }
    frames = _Frames(pictures, source.grid.shape[1:])
    return finish_and_write_series(_shared(source, provenance), source, provenance, files, frames, deflated)


class _Frames(Sequence[SparseVolume]):
    """The pictures in the order of their slices, [frame, row, column, colour] each, one in memory at a time."""

    def __init__(self, pictures: Mapping[int, np.ndarray], shape: Sequence[int]) -> None:
        self._pictures, self._numbers, self._shape = pictures, sorted(pictures), (*shape, 3)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> SparseVolume:  # type: ignore[override]
        number = self._numbers[index]
        picture = self._pictures[number]
        if picture.dtype != np.uint8 or picture.shape != self._shape:
            raise InputError(
                f"picture of slice {number}: expected uint8 {self._shape}, found {picture.dtype} {picture.shape}"
            )
        return SparseVolume.of(picture[None])


def _shared(source: SourceSeries, provenance: Provenance) -> SCImage:
    """Attributes that all pictures of the series share."""
    title = f"{provenance.method} {provenance.target} on CT"
    dataset = SCImage(
        pixel_array=np.zeros((1, 1, 3), np.uint8),  # the pictures are put in when the objects are written
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_patient_orientation(source.grid),
        **shared_arguments(source, provenance, title, _SERIES_NUMBER),
        **document_arguments(source),
    )
    dataset.copy_patient_and_study_information(source.first)
    for keyword, value in zip(("DateOfSecondaryCapture", "TimeOfSecondaryCapture"), source.created, strict=True):
        setattr(dataset, keyword, value)
    dataset.ConversionType = "SYN"  # synthetic image
    dataset.BurnedInAnnotation = "NO"  # nothing in the picture tells who the patient is
    for keyword in ("FrameOfReferenceUID", "ImageOrientationPatient", "PixelSpacing"):
        dataset[keyword] = source.first[keyword]
    return dataset


def _own_elements(image: Dataset, number: int) -> Elements:
    """Number, position and origin of one picture."""
    own = Dataset()
    own.InstanceNumber = number
    own[_POSITION] = image[_POSITION]
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_FOR_PROCESSING)]
    own.SourceImageSequence = [reference]
    return encode(own)


def _patient_orientation(grid: Grid) -> tuple[PatientOrientationValuesBiped, PatientOrientationValuesBiped]:
    """The sides of the patient that rows and columns run to; a tilt of the stack does not matter."""
    axes = np.eye(4)
    axes[:3, :3] = np.column_stack([*(grid.affine[:3, :2] / grid.spacing_mm[:2]).T, grid.normal])
    row, column, _ = get_closest_patient_orientation(axes)
    return row, column
