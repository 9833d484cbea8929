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

_OF_AN_IMAGE = ("SOPClassUID", "SOPInstanceUID", "ImagePositionPatient")
_PER_FRAME = Tag("PerFrameFunctionalGroupsSequence")
_FRAME_CONTENT = Tag("FrameContentSequence")
_SEGMENT = Tag("SegmentIdentificationSequence")


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
            small[keyword] = source.images[number][keyword]
        for keyword in ("Rows", "Columns"):
            small.add_new(keyword, "US", 1)  # new elements: the others are the image's own
        images.append(small)
    return images


def _references_to(source: SourceSeries) -> Elements:
    """The Source Image Sequence and the Referenced Series Sequence of all images."""
    if not source.encoded.references:
        images = []
        for image in source.images:
            reference = Dataset()
            reference.ReferencedSOPClassUID = image.SOPClassUID
            reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
            images.append(reference)
        series = Dataset()
        series.SeriesInstanceUID = source.first.SeriesInstanceUID
        series.ReferencedInstanceSequence = images
        references = Dataset()
        references.SourceImageSequence = images
        references.ReferencedSeriesSequence = [series]
        source.encoded.references = encode(references)
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


def _frame(slice_groups: Elements, frame: Frame) -> bytes:
    """The groups of a frame: its place among the dimensions, the groups of its slice, its segment."""
    indices = struct.pack(f"<HH2sH{len(frame.indices)}L", 0x20, 0x9157, b"UL", 4 * len(frame.indices), *frame.indices)
    elements = slice_groups | {_FRAME_CONTENT: sequence(_FRAME_CONTENT, item(indices))}
    if not frame.segment_is_shared:
        number = struct.pack("<HH2sHH", 0x62, 0x0B, b"US", 2, frame.segment)
        elements[_SEGMENT] = sequence(_SEGMENT, item(number))
    return b"".join(elements[tag] for tag in sorted(elements))


def _groups_of_slices(source: SourceSeries, dataset: Dataset) -> list[Elements]:
    """Position and origin of a frame on each slice, as the first frame of an object states them."""
    known = source.encoded.slices
    if dataset.SOPClassUID not in known:
        first = dataset.PerFrameFunctionalGroupsSequence[0]
        groups = Dataset()
        groups.DerivationImageSequence = first.DerivationImageSequence
        groups.PlanePositionSequence = first.PlanePositionSequence
        (reference,) = first.DerivationImageSequence[0].SourceImageSequence
        slices = []
        for image in source.images:
            groups.PlanePositionSequence[0].ImagePositionPatient = image.ImagePositionPatient
            reference.ReferencedSOPClassUID = image.SOPClassUID
            reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
            slices.append(encode(groups))
        known[dataset.SOPClassUID] = slices
    return known[dataset.SOPClassUID]
