"""Enhanced CT: one object with many frames, each read as a slice of its own (PS3.3 A.38 and A.70)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from ctxai.ct.dicom_errors import PARSE_ERRORS, open_dataset, refuse_bomb, without_warnings
from ctxai.ct.header import HEADER_TAGS, SliceHeader, slice_header
from ctxai.ct.header_values import HeaderValues
from ctxai.errors import InputError, kind_of

_CLASSES = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
#: Attributes of frames, and what images of one frame have instead; of dates with times, the time.
_NAMES = {
    "FrameType": "ImageType",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
    "NominalCardiacTriggerDelayTime": "TriggerTime",
    "FrameAcquisitionDateTime": "AcquisitionTime",
}
_DATE_DIGITS = 8
#: Tags of Pixel Data as a file begins it, in little endian, and the bytes before its value by the way VRs are written.
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_BEFORE_VALUE = {True: 8, False: 12}


def read_frames(path: Path, searched: Path | None = None) -> list[SliceHeader] | None:
    """Headers of the frames of an Enhanced CT, or None when the file is something else.

    Args:
        path: the file.
        searched: the folder or archive that the user named, where the file was found by a search.

    Raises:
        InputError: when a frame lacks what places it in the patient, or the file is damaged.
    """
    try:
        with path.open("rb") as file, without_warnings():
            refuse_bomb(file, path)
            if (
                open_dataset(file, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID")
                not in _CLASSES
            ):
                return None
            dataset = open_dataset(file, stop_before_pixels=True)
            place, size = file.tell(), os.fstat(file.fileno()).st_size
            pixels_at = _value_at(file, place, dataset)
    except InvalidDicomError:
        return None
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: damaged DICOM file ({kind_of(error)}); export it again") from None
    try:
        with without_warnings():
            frames = [
                replace(
                    slice_header(HeaderValues(frame, path), dataset.file_meta.TransferSyntaxUID, searched), frame=number
                )
                for number, frame in enumerate(_frames(dataset, path))
            ]
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: damaged DICOM header ({kind_of(error)}); export it again") from None
    first = frames[0]
    bytes_each = first.rows * first.columns * first.layout.allocated // 8
    if first.native and size - place < bytes_each * len(frames):
        raise InputError(
            f"{path}: cut short: {bytes_each * len(frames)} bytes of pixels expected, {size - place} found; "
            "export it again"
        )
    if first.native and pixels_at is not None and first.layout.allocated == 16:
        frames = [replace(one, pixels_at=pixels_at + bytes_each * number) for number, one in enumerate(frames)]
    return frames


def _frames(dataset: Dataset, path: Path) -> Iterator[Dataset]:
    """Each frame as a data set with the attributes of an image of one frame.

    A functional group of the frame itself stands before a shared one, and both before the object's own attributes.
    """
    shared, each = dataset.get(_SHARED) or [Dataset()], dataset.get(_PER_FRAME) or []
    if not each or len(each) != int(dataset.get("NumberOfFrames") or 0):
        raise InputError(
            f"{path}: an Enhanced CT of {dataset.get('NumberOfFrames')} frames with {len(each)} items of "
            f"{_PER_FRAME}, expected as many; export it again"
        )
    common = Dataset()
    for element in dataset:
        if element.tag in HEADER_TAGS:
            common.add(element)
    _take(common, shared[0])
    for number, groups in enumerate(each, start=1):
        frame = Dataset()
        frame.update(common)
        _take(frame, groups)
        frame.NumberOfFrames, frame.InstanceNumber = 1, number
        yield frame


def _take(frame: Dataset, groups: Dataset) -> None:
    """Take the attributes of functional groups."""
    for group in groups:
        if group.VR != "SQ" or not group.value:
            continue
        for element in group.value[0]:
            keyword = _NAMES.get(element.keyword, element.keyword)
            if element.keyword == "FrameAcquisitionDateTime":
                frame.AcquisitionTime = str(element.value or "")[_DATE_DIGITS:]
            elif keyword != element.keyword:
                setattr(frame, keyword, element.value)
            elif element.tag in HEADER_TAGS:
                frame.add(element)


def _value_at(file: BinaryIO, place: int, dataset: Dataset) -> int | None:
    """Where the value of Pixel Data begins, bytes; None where it cannot be read directly from the file."""
    file.seek(place)
    implicit, little = dataset.original_encoding
    if not little or dataset.file_meta.TransferSyntaxUID.is_deflated or file.read(4) != _PIXEL_DATA:
        return None
    return place + _BEFORE_VALUE[bool(implicit)]
