"""DICOM Segmentations of type FRACTIONAL: a map as graded evidence, for viewers that draw it with shades (PS3.3 A.51).

Values are rounded to 255 steps. The true ones are in the Parametric Map.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationFractionalTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset

from ctxai.export.dicom import codes
from ctxai.export.dicom.derived import finish_and_write, shared_arguments, state_slice_distance
from ctxai.export.dicom.multiframe import described, frames_of, outlines_of
from ctxai.export.dicom.parametric_map import Evidence
from ctxai.export.dicom.segmentation import algorithm_of
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.overlay import require_sign, scale_of
from ctxai.export.provenance import Provenance, shorten
from ctxai.export.sparse import SparseVolume, zeros

_SERIES_NUMBER = 9003
_STEPS = 255
_COLOURS = {Evidence.FOR: (221, 30, 30), Evidence.AGAINST: (66, 133, 244)}


def write_fractional_evidence(
    path: Path | str,
    volume: np.ndarray | SparseVolume,
    source: SourceSeries,
    provenance: Provenance,
    scale: float | None = None,
    deflated: bool = True,
) -> Dataset:
    """Write |map| / scale as one segment of evidence for the target and, of a signed method, one of evidence against.

    Args:
        path: file to write.
        volume: float32 [slice, row, column] on the CT's grid.
        source: the CT.
        provenance: how the map was made.
        scale: the map's value that is stored as 255; the volume's largest magnitude when not given.
        deflated: write Deflated Explicit VR Little Endian instead of Explicit VR Little Endian.

    Returns:
        A reference to the object.

    Raises:
        InputError: when the volume is not on the CT's grid, holds values that are not finite, or negative ones of an
            unsigned method.
    """
    source.require_shape(volume.shape)
    content = SparseVolume.of(volume)
    require_sign(content, provenance)
    scale = max(scale_of(content) if scale is None else scale, scale_of(content))
    halves = list(Evidence) if provenance.signed else [Evidence.FOR]
    scales = [np.float32(scale if half is Evidence.FOR else -scale) for half in halves]
    kept = content.slices or [len(source.images) // 2]  # a Segmentation without a frame is not allowed
    peaks = np.array([[(part / each).max().clip(0) for each in scales] for part in content.parts()])
    title = f"{provenance.method} {provenance.target}: graded"
    dataset = Segmentation(
        source_images=outlines_of(source, kept),
        pixel_array=(peaks if content.rows else np.zeros(len(halves))).reshape(len(kept), 1, 1, len(halves)),
        segmentation_type=SegmentationTypeValues.FRACTIONAL,
        fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=_STEPS,
        segment_descriptions=[
            SegmentDescription(
                segment_number=number,
                segment_label=shorten(f"{provenance.target}: evidence {half}", 64),
                segmented_property_category=codes.SPATIAL_CONCEPT,
                segmented_property_type=codes.CLASS_ACTIVATION,
                algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm_of(provenance),
                anatomic_regions=[codes.LUNG],
                display_color=CIELabColor.from_rgb(*_COLOURS[half]),
            )
            for number, half in enumerate(halves, start=1)
        ],
        omit_empty_frames=bool(content.rows),
        content_label="GRADED_EVIDENCE",
        content_description=shorten(title, 64),
        content_creator_name="",
        **shared_arguments(source, provenance, title, _SERIES_NUMBER),
    )
    state_slice_distance(dataset, source)
    rows_of = dict(content.rows)
    pixels = zeros((dataset.NumberOfFrames, *content.shape[1:]), np.uint8)
    places = []
    frames = frames_of(dataset, source)
    for number, frame in enumerate(frames):
        if rows := rows_of.get(frame.plane):
            share = content.array[frame.plane, rows] / scales[frame.segment - 1]
            pixels[number, rows] = np.around(np.maximum(share, 0) * np.float32(_STEPS))
            places.append((slice(number, number + 1), rows))
    stored = SparseVolume.within(pixels, places)
    return finish_and_write(dataset, source, provenance, path, stored, deflated, described(dataset, source, frames))
