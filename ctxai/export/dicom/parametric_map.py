"""DICOM Parametric Maps: the true values of an explanation map, one frame per CT slice (PS3.3 A.75)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from ctxai.ct.grid import Grid
from ctxai.errors import InputError
from ctxai.export.dicom import codes
from ctxai.export.dicom.derived import finish_and_write, shared_arguments, state_slice_distance
from ctxai.export.dicom.multiframe import Frame, described, outlines_of
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.overlay import require_sign, scale_of
from ctxai.export.provenance import Provenance, shorten
from ctxai.export.sparse import SparseVolume


class Evidence(StrEnum):
    """Which half of a signed map an object holds."""

    FOR = "for"
    AGAINST = "against"


#: Degrees; docs/how-to/review.md lists what was looked at.
_TILT_SEEN_IN_OHIF = 12.5

_SERIES_NUMBER = {Evidence.FOR: 9101, Evidence.AGAINST: 9102}


def write_parametric_maps(
    folder: Path | str,
    volume: np.ndarray | SparseVolume,
    source: SourceSeries,
    provenance: Provenance,
    scale: float | None = None,
    deflated: bool = True,
) -> list[Dataset]:
    """Write a map as one object of evidence for the target and, of a signed method, one of evidence against it.

    Args:
        folder: where; the files are named by method, target and sign.
        volume: float32 [slice, row, column] on the CT's grid.
        source: the CT.
        provenance: how the map was made.
        scale: what both maps are divided by; the largest magnitude of the volume when not given.
        deflated: write Deflated Explicit VR Little Endian instead of Explicit VR Little Endian.

    Returns:
        References to the objects.

    Raises:
        InputError: as :func:`write_parametric_map`; or when an unsigned method's map holds negative values.
    """
    volume = SparseVolume.of(volume)
    require_sign(volume, provenance)
    scale = scale_of(volume) if scale is None else scale
    written = []
    for evidence in Evidence if provenance.signed else (Evidence.FOR,):
        file = Path(folder) / f"{provenance.stem}_{evidence}.dcm"
        written.append(write_parametric_map(file, volume, source, provenance, evidence, scale, deflated))
    return written


def write_parametric_map(
    path: Path | str,
    volume: np.ndarray | SparseVolume,
    source: SourceSeries,
    provenance: Provenance,
    evidence: Evidence = Evidence.FOR,
    scale: float | None = None,
    deflated: bool = True,
) -> Dataset:
    """Write one half of a map as a Parametric Map of float32 values in 0..1.

    There is a frame for every CT slice, in ascending order along the normal of the image plane, because some viewers
    lay the frames over the CT in file order. The real-world value mapping holds the scale, negative for evidence
    against, so that slope x stored value is the map's own value.

    Args:
        path: file to write.
        volume: float32 [slice, row, column] on the CT's grid.
        source: the CT.
        provenance: how the map was made.
        evidence: which half.
        scale: the map's value that is stored as 1; the volume's largest magnitude when not given, so that both halves
            share it. 1 for a map that is 0 everywhere.
        deflated: write Deflated Explicit VR Little Endian: a map is 0 nearly everywhere, and takes a hundredth of its
            plain size.

    Returns:
        A reference to the object.

    Raises:
        InputError: when the volume is not on the CT's grid, holds values that are not finite, or exceeds ``scale``.
    """
    source.require_shape(volume.shape)
    content = SparseVolume.of(volume)
    largest = scale_of(content)
    scale = largest if scale is None else float(scale)
    if not scale > 0 or (scale < largest and content.rows):
        raise InputError(f"scale is {scale:g}, expected at least the map's largest magnitude, {largest:g}")
    sign = 1.0 if evidence is Evidence.FOR else -1.0
    divisor = np.float32(sign * scale)
    # + 0 makes 0 of -0, so that equal values are equal bytes
    stored = content.map(lambda values: np.maximum(np.divide(values, divisor, dtype=np.float32), 0) + 0, "<f4")
    title = f"{provenance.method} {provenance.target}: evidence {evidence}"
    few = outlines_of(source, range(min(len(source.images), 2)))  # two tell highdicom how the slices are stacked
    dataset = ParametricMap(
        source_images=few,
        pixel_array=np.zeros((len(few), 1, 1), np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label=f"{evidence}"[:16],
                lut_explanation=shorten(title, 64),
                unit=codes.NO_UNITS,
                value_range=(0.0, 1.0),
                slope=sign * scale,
                intercept=0.0,
                quantity_definition=codes.CLASS_ACTIVATION,
            )
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label=f"EVIDENCE_{evidence.upper()}",
        content_description=shorten(title, 64),
        content_creator_name="",
        **shared_arguments(source, provenance, title, _SERIES_NUMBER[evidence]),
    )
    state_slice_distance(dataset, source)
    _state_anatomy(dataset)
    dataset.NumberOfFrames = len(source.images)
    frames = [Frame(number, (number + 1,)) for number in range(len(source.images))]
    return finish_and_write(dataset, source, provenance, path, stored, deflated, described(dataset, source, frames))


def _state_anatomy(dataset: Dataset) -> None:
    """Say that the frames show the lungs; dcmqi, and so 3D Slicer, reads no Parametric Map without it."""
    item = Dataset()
    item.FrameLaterality = "B"
    item.AnatomicRegionSequence = [CodedConcept.from_code(codes.LUNG)]
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [item]


def untried_in_ohif(grid: Grid) -> str | None:
    """Why a Parametric Map on this CT may be misplaced in OHIF, or None where OHIF was seen to be right.

    OHIF copies the map's frames over the CT and looks at no position. It was seen to be right on axial, feet-first,
    oblique and coronal CTs, and with slices stacked up to 12 degrees off their normal.
    """
    along = grid.affine[:3, 2] / grid.spacing_mm[2] @ grid.normal
    tilt = float(np.degrees(np.arccos(np.clip(along, -1, 1))))
    return f"slices are stacked {tilt:.0f} degrees off their normal" if tilt > _TILT_SEEN_IN_OHIF else None
