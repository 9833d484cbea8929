"""The CT series that derived DICOM objects refer to, read once and made fit for a strict writer."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

from ctxai.ct.dicom_errors import open_dataset, without_warnings
from ctxai.ct.grid import Grid
from ctxai.ct.identity import is_exact
from ctxai.ct.series import CTSeries
from ctxai.deidentification.profile import Confidentiality
from ctxai.errors import InputError
from ctxai.export.dicom.part10 import Elements

# Attributes that every derived object must carry, empty where the CT says nothing (DICOM type 2).
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
# What identifies patient, study and image is kept as it is, valid or not: an archive matches by it.
_KEPT = ("PatientID", "PatientName", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

_IDENTITY = ("PatientID", "PatientName", "AccessionNumber")

_OF_A_REFERENCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
)

_TEXT = ("AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_EPOCH = ("19700101", "000000")


class _Images(Sequence[Dataset]):
    """Images made fit for a strict writer, each when it is first taken: objects describe few of them."""

    def __init__(self, datasets: Sequence[Dataset], grid: Grid) -> None:
        self._raw, self._grid = datasets, grid
        self._fit: dict[int, Dataset] = {}
        with without_warnings():  # they would quote the patient's data
            first = _cleaned(datasets[0], datasets[0], grid)
        self.identity = {keyword: first[keyword].value for keyword in _IDENTITY}

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, index: int) -> Dataset: ...
    @overload
    def __getitem__(self, index: slice) -> list[Dataset]: ...
    def __getitem__(self, index: int | slice) -> Dataset | list[Dataset]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        if number not in self._fit:
            with without_warnings():
                image = _cleaned(self._raw[number], self._raw[0], self._grid)
            for keyword in _IDENTITY:
                image.add_new(keyword, dictionary_VR(keyword), "")
            self._fit[number] = image
        return self._fit[number]


@dataclass
class SharedElements:
    """Elements that all objects of a series have, encoded once (:mod:`ctxai.export.dicom.multiframe`).

    Attributes:
        references: to all images.
        instances: class and SOP Instance UID of each image, as a reference states them.
        slices: what a frame says of its slice, by class of the object and number of the slice.
    """

    references: Elements = field(default_factory=dict)
    instances: list[Elements] = field(default_factory=list)
    slices: dict[str, list[Elements]] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceSeries:
    """A CT series as the source of derived objects; make it once and write many objects from it.

    Attributes:
        grid: where the voxels are.
        images: the images' data sets without pixels, ascending along the normal like the grid's slices; each is made
            fit when it is first taken. Attributes with invalid values are left out, missing ones that DICOM requires
            are empty, texts are Unicode. What names the patient is empty: an unusual value would be quoted in a
            warning.
        instances: of each image only its class, its UIDs and its position.
        identity: what names the patient, by keyword, as in the images.
        encoded: what its objects share; filled by their writers.
    """

    grid: Grid
    images: Sequence[Dataset]
    instances: Sequence[Dataset]
    identity: Mapping[str, Any]
    encoded: SharedElements = field(default_factory=SharedElements, repr=False, compare=False)

    @classmethod
    def from_series(cls, series: CTSeries, confidentiality: Confidentiality | None = None) -> SourceSeries:
        """Read the headers of a series.

        Args:
            series: the CT.
            confidentiality: where given, the headers are deidentified first, and so is all that is made from them.

        Raises:
            InputError: with :func:`why_no_objects`.
        """
        if reason := why_no_objects(series, confidentiality):
            raise InputError(reason)
        datasets = series.source_datasets()
        if confidentiality is not None:
            with config.disable_value_validation():
                datasets = [confidentiality.header(dataset) for dataset in datasets]
        images = _Images(datasets, series.grid)
        with without_warnings():  # they would quote the patient's data
            instances = tuple(_instance(dataset) for dataset in datasets)
        return cls(series.grid, images, instances, images.identity)

    @property
    def first(self) -> Dataset:
        """The lowest image along the normal."""
        return self.images[0]

    @property
    def created(self) -> tuple[str, str]:
        """Date and time that derived objects carry, as DICOM writes them.

        SOURCE_DATE_EPOCH where that environment variable is set (UTC), else the series' own; never the present.

        Raises:
            InputError: when SOURCE_DATE_EPOCH is no number of seconds.
        """
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None:
            return _series_date(self.first)
        try:
            moment = datetime.datetime.fromtimestamp(int(epoch), tz=datetime.UTC)
        except (ValueError, OverflowError, OSError):
            raise InputError(f"SOURCE_DATE_EPOCH is {epoch!r}, expected whole seconds since 1970") from None
        return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")

    def require_shape(self, shape: Sequence[int]) -> None:
        """Refuse an array that is not on the CT's grid.

        Raises:
            InputError: with both shapes.
        """
        if tuple(shape) != self.grid.shape:
            raise InputError(
                f"array [slice, row, column] has the shape {tuple(shape)}, the CT {self.grid.shape}; "
                "bring it to the CT's grid first"
            )


def why_no_objects(series: CTSeries, confidentiality: Confidentiality | None = None) -> str:
    """Why no DICOM object can lie on a series or name its patient, in one line; empty where one can.

    Args:
        series: the CT.
        confidentiality: where given, neither the patient nor the frame of reference is named.
    """
    label, frames = series.source_label, {header.frame_of_reference_uid for header in series.headers}
    if series.multiframe:
        return f"{label}: an Enhanced CT, on which no DICOM overlays are written; NIfTI is"
    if len(frames) != 1 or "" in frames:
        return (
            f"{label}: expected one FrameOfReferenceUID in all images, found {len(frames - {''})}"
            f"{' and images without' if '' in frames else ''}; DICOM overlays need it, NIfTI does not"
        )
    if confidentiality is not None:
        return ""
    if not _is_valid("UI", next(iter(frames))):
        return f"{label}: FrameOfReferenceUID is no UID; DICOM overlays need it, NIfTI does not"
    tags = ["SpecificCharacterSet", *_IDENTITY]
    with without_warnings():
        image = open_dataset(series.headers[0].path, stop_before_pixels=True, specific_tags=tags)
    lost = [keyword for keyword in _IDENTITY if not is_exact(image, keyword)]
    if lost:
        return (
            f"{label}: {', '.join(lost)} of its images is not written in their SpecificCharacterSet, so that DICOM "
            "overlays would name another patient; correct the images' headers, or write NIfTI"
        )
    return ""


def _instance(dataset: Dataset) -> Dataset:
    """The attributes of an image that references need."""
    instance = Dataset()
    for keyword in _OF_A_REFERENCE:
        if keyword in dataset:
            instance[keyword] = dataset[keyword]
    return instance


def _cleaned(dataset: Dataset, first: Dataset, grid: Grid) -> Dataset:
    """A copy of an image's header without what a strict writer refuses."""
    dataset.decode()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for element in list(dataset):
        if element.keyword not in _KEPT and not _is_valid(element.VR, element.value):
            del dataset[element.tag]
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if dataset.PatientSex not in ("", "M", "F", "O"):
        dataset.PatientSex = ""
    if not dataset.get("SliceThickness"):
        dataset.SliceThickness = f"{slice_distance_mm(grid):.6g}"
    dataset.pop("SpacingBetweenSlices", None)  # often wrong; derived objects state the measured distance
    dataset.ImageOrientationPatient = first.ImageOrientationPatient  # equal but for rounding, as the series was checked
    return dataset


def slice_distance_mm(grid: Grid) -> float:
    """Distance of neighbouring slices along the normal, also where they are stacked off it."""
    return float(grid.affine[:3, 2] @ grid.normal)


def _is_valid(vr: str, value: object) -> bool:
    """Whether each value of a text attribute obeys its value representation."""
    if vr not in _TEXT or value is None:
        return True
    try:
        for part in value if isinstance(value, MultiValue) else [value]:
            validate_value(vr, str(part), config.RAISE)
    except ValueError:
        return False
    return True


def _series_date(dataset: Dataset) -> tuple[str, str]:
    """Date and time of the series, else of its study, acquisition or content; 1970 where there is none."""
    for kind in ("Series", "Study", "Acquisition", "Content"):
        date = str(dataset.get(f"{kind}Date") or "")
        if _DATE.fullmatch(date):
            time = str(dataset.get(f"{kind}Time") or "")
            return date, time if _TIME.fullmatch(time) else "000000"
    return _EPOCH


def slice_of(dataset: Dataset, grid: Grid) -> int:
    """Number of the slice of the CT on which an image or a frame's plane lies."""
    return round(float(grid.to_index(np.array([float(v) for v in dataset.ImagePositionPatient]))[2]))
