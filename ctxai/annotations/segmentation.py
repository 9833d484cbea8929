"""DICOM Segmentation: a nodule a segment, or a nodule a connected component of the only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import SegmentationStorage

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.dicom_objects import NODULE_WORDS, numbers, read_object, sop_class
from ctxai.annotations.voxels import nodules_of
from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.ct.grid import Grid
from ctxai.ct.identity import exact_text
from ctxai.errors import InputError, kind_of

#: Half of a fractional segment's maximum belongs to it.
_LEVEL = 0.5
#: More voxels than any segment of a chest CT takes on its own box.
_MAX_VOXELS = 2**31


class Segmentation(AnnotationSource):
    """Segments of a DICOM Segmentation; where some are called nodules or lesions, only those.

    Source: DICOM PS3.3 A.51.

    Raises:
        InputError: when it is missing, no Segmentation, damaged, or empty.
    """

    name = "seg"
    description = "DICOM Segmentation: one nodule a segment, or one a connected component of the only segment"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        dataset = read_object(path, [SegmentationStorage], "a DICOM Segmentation")
        try:
            self._nodules = _read(dataset, path)
        except PARSE_ERRORS as error:
            raise InputError(f"{path}: not a readable DICOM Segmentation ({kind_of(error)}: {error})") from None
        if not self._nodules:
            raise InputError(f"{path}: none of its segments holds a voxel")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether its SOP class is Segmentation."""
        return sop_class(path) == SegmentationStorage

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every segment."""
        return Annotations(self._nodules)


def _read(dataset: pydicom.Dataset, path: Path) -> list[AnnotatedNodule]:
    described = {int(segment.SegmentNumber): segment for segment in dataset.SegmentSequence}
    named = {number for number, segment in described.items() if NODULE_WORDS.search(_words(segment))}
    wanted = sorted(named or described)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    frames = dataset.PerFrameFunctionalGroupsSequence
    orientation = numbers(_group(shared, frames[0], "PlaneOrientationSequence").ImageOrientationPatient, 6)
    measures = _group(shared, frames[0], "PixelMeasuresSequence")
    spacing = numbers(measures.PixelSpacing, 2)
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.array(
        [numbers(_group(shared, frame, "PlanePositionSequence").ImagePositionPatient, 3) for frame in frames]
    )
    of_frame = np.array(
        [int(_group(shared, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber) for frame in frames]
    )
    distances = positions @ normal
    levels = np.unique(np.round(distances, 3))
    step = float(np.diff(levels).min()) if len(levels) > 1 else _thickness(measures)
    index = np.rint((distances - distances.min()) / step).astype(int)
    first, last = int(distances.argmin()), int(distances.argmax())
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = orientation[:3] * spacing[1], orientation[3:] * spacing[0]
    affine[:3, 2] = (positions[last] - positions[first]) / index[last] if index[last] else normal * step
    affine[:3, 3] = positions[first]
    shape = (int(index.max()) + 1, int(dataset.Rows), int(dataset.Columns))
    if np.prod(shape, dtype=float) > _MAX_VOXELS:
        raise ValueError(f"its frames span {shape} voxels")
    pixels = dataset.pixel_array.reshape(len(frames), *shape[1:])
    limit = _LEVEL * int(dataset.get("MaximumFractionalValue") or 1)
    masks = []
    for number in wanted:
        mask = np.zeros(shape, bool)
        for frame in np.flatnonzero(of_frame == number):
            mask[index[frame]] |= pixels[frame] >= limit
        masks.append(mask)
    series = dataset.get("ReferencedSeriesSequence")
    labels = [str(described[number].get("SegmentLabel", "")) for number in wanted]
    nodules = nodules_of(masks, labels, Grid(shape, affine), str(path))
    return [
        replace(
            nodule,
            frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID", "")),
            patient_id=exact_text(dataset, "PatientID"),
            series_uid=str(series[0].SeriesInstanceUID) if series else None,
        )
        for nodule in nodules
    ]


def _group(shared: pydicom.Dataset, frame: pydicom.Dataset, name: str) -> pydicom.Dataset:
    """A functional group of a frame, its own or the shared one."""
    return (frame.get(name) or shared.get(name))[0]


def _thickness(measures: pydicom.Dataset) -> float:
    return float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1.0)


def _words(segment: pydicom.Dataset) -> str:
    kind = segment.get("SegmentedPropertyTypeCodeSequence")
    return f"{segment.get('SegmentLabel', '')} {kind[0].get('CodeMeaning', '') if kind else ''}"
