"""DICOM Structured Reports with measurement groups (TID 1500): nodules by region and diameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.dicom_objects import nodule_names, numbers, read_object, sop_class
from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.ct.header import SliceHeader
from ctxai.ct.identity import exact_text
from ctxai.errors import InputError, kind_of

_CLASSES = [EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage]
_GROUP, _TRACKING = "125007", "112039"
#: Codes of a nodule's size: Diameter, Length, Long Axis (SNOMED CT and SRT).
_SIZES = {"81827009", "410668003", "103339001", "M-02550", "G-D7FE", "G-A185", "103340004"}
_MM = {"mm": 1.0, "cm": 10.0}


class StructuredReport(AnnotationSource):
    """Measurement groups with coordinates in the patient (SCOORD3D) or in an image of the CT (SCOORD).

    Source: DICOM PS3.16 TID 1500, 1410 and 1411; PS3.3 C.18.6 and C.18.9.

    Raises:
        InputError: when it is missing, no such report, damaged, or has no measurement group with a place.
    """

    name = "sr"
    description = "DICOM Structured Report with measurement groups (TID 1500): regions and diameters"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        dataset = read_object(path, _CLASSES, "a DICOM Structured Report")
        self._patient = exact_text(dataset, "PatientID")
        try:
            groups = [item for item in _items(dataset) if _code(item) == _GROUP and _regions(item)]
            self._groups = [(group, _label(group), _diameter(group)) for group in groups]
        except PARSE_ERRORS as error:
            raise InputError(f"{path}: not a readable Structured Report ({kind_of(error)}: {error})") from None
        if not groups:
            raise InputError(f"{path}: no measurement group (TID 1500) with coordinates in it")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether its SOP class is a Structured Report that may hold measurement groups."""
        return sop_class(path) in _CLASSES

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every measurement group; one with coordinates in an image needs that image."""
        images = {(header.sop_uid, header.frame): header for ct in cts for header in ct.headers}
        names = nodule_names([label for _, label, _ in self._groups])
        found = []
        for (group, _, diameter), name in zip(self._groups, names, strict=True):
            try:
                points, frame, series_uid = _place(group, images)
            except PARSE_ERRORS as error:
                raise InputError(f"{self.path}: {name}: coordinates cannot be read ({kind_of(error)})") from None
            if not len(points):
                raise InputError(f"{self.path}: {name} is marked in an image that the CT lacks; give its own CT")
            low, high = points.min(axis=0), points.max(axis=0)
            size = diameter or (float(np.linalg.norm(points[:, None] - points, axis=-1).max()) or None)
            found.append(
                AnnotatedNodule(
                    name,
                    (low + high) / 2,
                    series_uid,
                    size,
                    frame_of_reference_uid=frame,
                    patient_id=self._patient,
                    origin=str(self.path),
                )
            )
        return Annotations(found)


def _items(item: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """All content items below one, depth first."""
    for child in item.get("ContentSequence") or []:
        yield child
        yield from _items(child)


def _code(item: pydicom.Dataset, sequence: str = "ConceptNameCodeSequence") -> str:
    concept = item.get(sequence)
    return str(concept[0].get("CodeValue", "")) if concept else ""


def _label(group: pydicom.Dataset) -> str:
    return next((str(item.get("TextValue", "")) for item in _items(group) if _code(item) == _TRACKING), "")


def _diameter(group: pydicom.Dataset) -> float | None:
    """Diameter in mm, the longest of several."""
    found = []
    for item in _items(group):
        if item.get("ValueType") == "NUM" and _code(item) in _SIZES and item.get("MeasuredValueSequence"):
            value = item.MeasuredValueSequence[0]
            unit = _code(value, "MeasurementUnitsCodeSequence")
            if unit in _MM:
                found.append(float(value.NumericValue) * _MM[unit])
    return max(found, default=None)


def _regions(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    return [item for item in _items(group) if item.get("ValueType") in ("SCOORD", "SCOORD3D")]


def _place(
    group: pydicom.Dataset, images: Mapping[tuple[str, int | None], SliceHeader]
) -> tuple[np.ndarray, str, str | None]:
    """Points in LPS mm, their frame of reference, and their series where the images tell."""
    points: list[np.ndarray] = []
    frame, series = "", None
    for region in _regions(group):
        data = numbers(region.GraphicData)
        if region.ValueType == "SCOORD3D":
            points.append(data.reshape(-1, 3))
            frame = str(region.get("ReferencedFrameOfReferenceUID", ""))
            continue
        for image in region.get("ContentSequence") or []:
            reference = image.get("ReferencedSOPSequence")
            header = images.get(_image_of(reference[0])) if reference else None
            if header is not None:
                points.append(_in_patient(data.reshape(-1, 2), header))
                frame, series = header.frame_of_reference_uid, header.series_uid
    return np.concatenate(points) if points else np.empty((0, 3)), frame, series


def _image_of(reference: pydicom.Dataset) -> tuple[str, int | None]:
    """SOP Instance UID and frame, from 0, that a reference names."""
    frames = reference.get("ReferencedFrameNumber")
    number = int(frames[0] if isinstance(frames, MultiValue) else frames) - 1 if frames else None
    return str(reference.ReferencedSOPInstanceUID), number


def _in_patient(points: np.ndarray, header: SliceHeader) -> np.ndarray:
    """LPS mm of (column, row) positions whose origin is the corner of the first pixel (PS3.3 C.18.6.1.1)."""
    columns, rows = (points - 0.5).T
    along = header.orientation[:3] * header.pixel_spacing_mm[1], header.orientation[3:] * header.pixel_spacing_mm[0]
    return header.position + columns[:, None] * along[0] + rows[:, None] * along[1]
