"""What a multi-frame object says of the slices of its CT, encoded once for all objects of the series.

highdicom's constructors describe every frame and copy every pixel anew. They are given the images of few slices, as if
they had one pixel each; references to all images, the groups of all frames and the pixels are put in when the object is
written (:func:`ctxai.export.dicom.derived.finish_and_write`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from ctxai.export.dicom.part10 import Elements, encode, encode_sequence
from ctxai.export.dicom.source import SourceSeries, slice_of


def outlines_of(source: SourceSeries, slices: Iterable[int]) -> list[Dataset]:
    """The images of slices as if they had one pixel each."""
    images = []
    for number in slices:
        image = source.images[number]
        small = Dataset()
        small.update(image)
        if hasattr(image, "file_meta"):  # deidentified headers have none
            small.file_meta = image.file_meta
        for keyword in ("Rows", "Columns"):
            small.add_new(keyword, "US", 1)  # new elements: the others are the image's own
        images.append(small)
    return images


def references_to(source: SourceSeries) -> Elements:
    """The Source Image Sequence and the Referenced Series Sequence of all images."""
    key = "references"
    if key not in source.encoded:
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
        source.encoded[key] = encode(references)
    return source.encoded[key]


def groups_of_all_frames(source: SourceSeries, frame: Dataset) -> Elements:
    """The Per-frame Functional Groups Sequence of an object with a frame for every image, in their order.

    Args:
        source: the CT.
        frame: the groups of one frame, which refers to one image.
    """
    key = "frames"
    if key not in source.encoded:
        source.encoded[key] = encode_sequence("PerFrameFunctionalGroupsSequence", _frames(source, frame))
    return source.encoded[key]


def frames_of(dataset: Dataset, source: SourceSeries) -> Iterator[tuple[int, int]]:
    """Number of the segment, and of the slice of the CT, of every frame of a Segmentation."""
    shared = dataset.SharedFunctionalGroupsSequence[0]  # of a single segment
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        segment = (frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence)[0]
        yield segment.ReferencedSegmentNumber, slice_of(frame.PlanePositionSequence[0], source.grid)


def _frames(source: SourceSeries, frame: Dataset) -> Iterator[Dataset]:
    """The groups of each frame in turn; they are the same data set with other values."""
    (derivation,) = frame.DerivationImageSequence
    (reference,) = derivation.SourceImageSequence
    for number, image in enumerate(source.images, start=1):
        frame.FrameContentSequence[0].DimensionIndexValues = number
        frame.PlanePositionSequence[0].ImagePositionPatient = image.ImagePositionPatient
        reference.ReferencedSOPClassUID = image.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        yield frame
