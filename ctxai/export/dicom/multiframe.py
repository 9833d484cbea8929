"""Frames of a multi-frame object and its references to the CT's images, encoded once for all objects of the series.

highdicom's constructors describe every frame and copy every pixel anew. They are given the images of few slices, as if
they had one pixel each; references to all images, the groups of all frames and the pixels are put in when the object is
written (:func:`ctxai.export.dicom.derived.finish_and_write`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ctxai.export.dicom.part10 import Elements, encode, item, sequence
from ctxai.export.dicom.source import SourceSeries, slice_of

_POSITION = "ImagePositionPatient"
_OF_AN_IMAGE = ("SOPClassUID", "SOPInstanceUID", _POSITION)
_SOURCE_IMAGES = Tag("SourceImageSequence")
_SERIES = Tag("ReferencedSeriesSequence")
_INSTANCES = Tag("ReferencedInstanceSequence")
_PER_FRAME = Tag("PerFrameFunctionalGroupsSequence")
_DERIVATION = Tag("DerivationImageSequence")
_PLANE = Tag("PlanePositionSequence")
_FRAME_CONTENT = Tag("FrameContentSequence")
_INDICES = Tag("DimensionIndexValues")
_SEGMENT = Tag("SegmentIdentificationSequence")
_SEGMENT_NUMBER = Tag("ReferencedSegmentNumber")


@dataclass(frozen=True)
class Frame:
    """A frame of a multi-frame object.

    Attributes:
        plane: number of its slice of the CT.
        indices: its place among the dimensions of the object, from 1.
        segment: number of its segment, of a Segmentation.
        segment_is_shared: the object has no other segment, or none; then no frame states it.
    """

    plane: int
    indices: tuple[int, ...]
    segment: int = 0
    segment_is_shared: bool = True


def outlines_of(source: SourceSeries, slices: Iterable[int]) -> list[Dataset]:
    """The images of slices as if they had one pixel each; they differ from the first in what tells them apart."""
    images = []
    for number in slices:
        small = Dataset()
        small.update(source.first)
        if hasattr(source.first, "file_meta"):  # deidentified headers have none
            small.file_meta = source.first.file_meta
        for keyword in _OF_AN_IMAGE:
            small[keyword] = source.instances[number][keyword]
        for keyword in ("Rows", "Columns"):
            small.add_new(keyword, "US", 1)  # new elements: the others are the image's own
        images.append(small)
    return images


def instances_of(source: SourceSeries) -> list[Elements]:
    """Class and SOP Instance UID of each image, as a reference states them."""
    if not source.encoded.instances:
        for instance in source.instances:
            reference = Dataset()
            reference.ReferencedSOPClassUID = instance.SOPClassUID
            reference.ReferencedSOPInstanceUID = instance.SOPInstanceUID
            source.encoded.instances.append(encode(reference))
    return source.encoded.instances


def _references_to(source: SourceSeries) -> Elements:
    """The Source Image Sequence and the Referenced Series Sequence of all images."""
    if not source.encoded.references:
        images = b"".join(map(item, instances_of(source)))
        series = Dataset()
        series.SeriesInstanceUID = source.first.SeriesInstanceUID
        content = item(encode(series) | {_INSTANCES: sequence(_INSTANCES, images)})
        source.encoded.references[_SOURCE_IMAGES] = sequence(_SOURCE_IMAGES, images)
        source.encoded.references[_SERIES] = sequence(_SERIES, content)
    return source.encoded.references


def described(dataset: Dataset, source: SourceSeries, frames: Iterable[Frame]) -> Elements:
    """References to all images and the Per-frame Functional Groups Sequence, which the object gives up.

    Args:
        dataset: the object, with the groups of one frame at least; all its frames refer to one image each.
        source: the CT.
        frames: the frames in their order.
    """
    slices = _groups_of_slices(source, dataset)
    content = b"".join(item(_frame(slices[frame.plane], frame)) for frame in frames)
    del dataset.PerFrameFunctionalGroupsSequence
    return _references_to(source) | {_PER_FRAME: sequence(_PER_FRAME, content)}


def frames_of(dataset: Dataset, source: SourceSeries) -> list[Frame]:
    """The frames of a Segmentation as highdicom has ordered them."""
    shared = dataset.SharedFunctionalGroupsSequence[0]  # of a single segment
    frames = []
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        own = groups.get("SegmentIdentificationSequence")
        segment = (own or shared.SegmentIdentificationSequence)[0].ReferencedSegmentNumber
        indices = groups.FrameContentSequence[0].DimensionIndexValues
        indices = (indices,) if isinstance(indices, int) else tuple(indices)
        plane = slice_of(groups.PlanePositionSequence[0], source.grid)
        frames.append(Frame(plane, indices, segment, own is None))
    return frames


def _frame(slice_groups: Elements, frame: Frame) -> Elements:
    """The groups of a frame: its place among the dimensions, the groups of its slice, its segment."""
    indices = struct.pack(f"<HH2sH{len(frame.indices)}L", 0x20, 0x9157, b"UL", 4 * len(frame.indices), *frame.indices)
    elements = slice_groups | {_FRAME_CONTENT: sequence(_FRAME_CONTENT, item({_INDICES: indices}))}
    if not frame.segment_is_shared:
        number = struct.pack("<HH2sHH", 0x62, 0x0B, b"US", 2, frame.segment)
        elements[_SEGMENT] = sequence(_SEGMENT, item({_SEGMENT_NUMBER: number}))
    return elements


def _groups_of_slices(source: SourceSeries, dataset: Dataset) -> list[Elements]:
    """Position and origin of a frame on each slice, as the first frame of an object states them."""
    known = source.encoded.slices
    if dataset.SOPClassUID not in known:
        (derivation,) = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
        (reference,) = derivation.SourceImageSequence
        shared, of_reference = encode(derivation), encode(reference)
        slices = []
        for image, instance in zip(source.instances, instances_of(source), strict=True):
            plane = Dataset()
            plane[_POSITION] = image[_POSITION]
            origin = shared | {_SOURCE_IMAGES: sequence(_SOURCE_IMAGES, item(of_reference | instance))}
            groups = {_DERIVATION: sequence(_DERIVATION, item(origin)), _PLANE: sequence(_PLANE, item(encode(plane)))}
            slices.append(groups)
        known[dataset.SOPClassUID] = slices
    return known[dataset.SOPClassUID]
