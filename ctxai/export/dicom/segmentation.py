"""DICOM Segmentations: nodules, and an explanation map as bands of evidence (PS3.3 A.51, BINARY)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
    SegmentsOverlapValues,
)
from pydicom.dataset import Dataset

from ctxai.errors import InputError
from ctxai.export.dicom import codes
from ctxai.export.dicom.derived import finish_and_write, shared_arguments, state_slice_distance, tracking_uid
from ctxai.export.dicom.multiframe import Frame, described, frames_of, outlines_of
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.overlay import require_sign, scale_of
from ctxai.export.provenance import Provenance, require_identifier, shorten
from ctxai.export.sparse import SparseVolume, zeros

_NODULES_SERIES_NUMBER = 9001
_BANDS_SERIES_NUMBER = 9002
_NODULE_COLOURS = ((0, 200, 83), (0, 176, 255), (213, 0, 249), (255, 214, 0), (118, 255, 3), (29, 233, 182))


@dataclass(frozen=True)
class SegmentedNodule:
    """One segment of a nodule segmentation.

    Attributes:
        nodule_id: names the nodule in all objects of the series.
        drawn: who drew it: ``MANUAL`` (readers), ``SEMIAUTOMATIC`` or ``AUTOMATIC``.
    """

    nodule_id: str
    drawn: SegmentAlgorithmTypeValues = SegmentAlgorithmTypeValues.MANUAL


@dataclass(frozen=True)
class HeatBand:
    """A range of evidence that is drawn in one colour.

    Attributes:
        low: shares of the scale, from ``low`` …
        high: … to below ``high``; bands that end at 1 or -1 have what is beyond, too. Negative for evidence against the
            target.
        colour: red, green, blue, 0 to 255.
    """

    low: float
    high: float
    colour: tuple[int, int, int]

    def label(self, target: str) -> str:
        """Segment Label in a viewer's list, at most the 64 characters that DICOM allows."""
        side = "against" if self.high <= 0 else "for"
        low, high = sorted((abs(self.low), abs(self.high)))
        share = f"{low:.0%} of scale and more" if high == 1 else f"{low:.0%} to {high:.0%} of scale"
        share = share.replace("%", " %")
        words = f": evidence {side}, {share}"
        if len(target) + len(words) > 64:
            words = f": {side}, {share}"
        return shorten(target, 64 - len(words)) + words


#: Disjoint bands; weaker evidence is not drawn. The last is evidence against the target.
HEAT_BANDS = (
    HeatBand(0.25, 0.50, (255, 221, 87)),
    HeatBand(0.50, 0.75, (255, 143, 0)),
    HeatBand(0.75, 1.00, (221, 30, 30)),
    HeatBand(-1.00, -0.25, (66, 133, 244)),
)


def write_nodule_segmentation(
    path: Path | str,
    labels: np.ndarray | SparseVolume,
    nodules: Sequence[SegmentedNodule],
    source: SourceSeries,
    provenance: Provenance,
    series_number: int = _NODULES_SERIES_NUMBER,
    deflated: bool = True,
) -> Dataset:
    """Write nodules as one segment each, with a tracking UID shared by all objects of the CT series.

    Args:
        path: file to write.
        labels: uint8 or uint16 [slice, row, column] on the CT's grid; i + 1 in ``nodules[i]``, 0 elsewhere.
        nodules: the segments, in the order of the labels.
        source: the CT.
        provenance: how the masks came to be; its method stands in the series' description.
        series_number: number of the series.
        deflated: write Deflated Explicit VR Little Endian instead of Explicit VR Little Endian.

    Returns:
        A reference to the object.

    Raises:
        InputError: when the labels are not on the CT's grid, or do not fit the nodules.
    """
    source.require_shape(labels.shape)
    content = SparseVolume.of(labels)
    if content.array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: labels are {content.array.dtype}, expected uint8 or uint16")
    if not nodules:
        raise InputError(f"{path}: no nodule to write")
    highest = max((int(part.max()) for part in content.parts()), default=0)
    if highest > len(nodules):
        raise InputError(f"{path}: labels go up to {highest}, but {len(nodules)} nodule(s) are named")
    voxels = np.zeros(len(nodules) + 1, int)
    for part in content.parts():
        voxels += np.bincount(part.ravel(), minlength=len(voxels))
    segments = []
    for number, nodule in enumerate(nodules, start=1):
        require_identifier(nodule.nodule_id)
        if not voxels[number]:
            raise InputError(f"{path}: nodule {nodule.nodule_id} has no voxel in the CT; leave it out")
        drawn = SegmentAlgorithmTypeValues(nodule.drawn)
        segments.append(
            SegmentDescription(
                segment_number=number,
                segment_label=nodule.nodule_id,
                segmented_property_category=codes.ABNORMAL_STRUCTURE,
                segmented_property_type=codes.NODULE,
                algorithm_type=drawn,
                algorithm_identification=(
                    None if drawn is SegmentAlgorithmTypeValues.MANUAL else algorithm_of(provenance)
                ),
                tracking_id=nodule.nodule_id,
                tracking_uid=tracking_uid(source, nodule.nodule_id),
                anatomic_regions=[codes.LUNG],
                display_color=CIELabColor.from_rgb(*_NODULE_COLOURS[(number - 1) % len(_NODULE_COLOURS)]),
            )
        )
    title = f"Nodules: {provenance.method}"
    return _write(path, content, segments, source, provenance, title, "NODULES", series_number, deflated)


def write_heat_bands(
    path: Path | str,
    volume: np.ndarray | SparseVolume,
    source: SourceSeries,
    provenance: Provenance,
    scale: float | None = None,
    nodule_scales: Mapping[str, float] | None = None,
    deflated: bool = True,
) -> Dataset:
    """Write a map as disjoint bands of evidence, the overlay that viewers without Parametric Maps show.

    All bands are described also where no voxel falls into them, so that their numbers always mean the same. A map
    that is 0 everywhere gives one empty frame per band.

    Args:
        path: file to write.
        volume: float32 [slice, row, column] on the CT's grid.
        source: the CT.
        provenance: how the map was made; of an unsigned method, only bands of positive values are written.
        scale: the value that counts as 100 %; the volume's largest magnitude when not given.
        nodule_scales: where the volume holds shares of each nodule's own scale (`colour_scale_of`): these scales, by
            nodule id, for the segments' description.
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
    bands = [band for band in HEAT_BANDS if provenance.signed or band.high > 0]
    scale = scale_of(content) if scale is None else scale
    labels = content.map(lambda values: heat_band_labels(values, scale, bands), np.uint8)
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=band.label(provenance.target),
            segmented_property_category=codes.SPATIAL_CONCEPT,
            segmented_property_type=codes.CLASS_ACTIVATION,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm_of(provenance),
            anatomic_regions=[codes.LUNG],
            display_color=CIELabColor.from_rgb(*band.colour),
        )
        for number, band in enumerate(bands, start=1)
    ]
    if nodule_scales:
        each = "; ".join(f"{nodule_id}: {value:.3g}" for nodule_id, value in nodule_scales.items())
        for segment in segments:
            segment.SegmentDescription = shorten(f"Scale of each nodule: 99 % of the map is at most {each}", 1024)
    title = f"{provenance.method} {provenance.target}: bands"
    return _write(path, labels, segments, source, provenance, title, "EVIDENCE_BANDS", _BANDS_SERIES_NUMBER, deflated)


def heat_band_labels(volume: np.ndarray, scale: float, bands: Sequence[HeatBand] = HEAT_BANDS) -> np.ndarray:
    """Number of the band that each voxel falls into, uint8 of the volume's shape; 0 for none.

    Args:
        volume: map of any shape.
        scale: the value that counts as 100 %, positive; values beyond it belong to the outermost band.
        bands: the bands 1, 2, …
    """
    labels = np.zeros(volume.shape, dtype=np.uint8)
    for number, band in enumerate(bands, start=1):
        if band.high <= 0:
            inside = volume <= band.high * scale
            if band.low > -1:
                inside &= volume > band.low * scale
        else:
            inside = volume >= band.low * scale
            if band.high < 1:
                inside &= volume < band.high * scale
        labels[inside] = number
    return labels


def algorithm_of(provenance: Provenance) -> AlgorithmIdentificationSequence:
    """Method, version, target and options as a Segmentation has them."""
    parameters = {"target": provenance.target} | {name: str(value) for name, value in provenance.options.items()}
    return AlgorithmIdentificationSequence(
        name=shorten(provenance.method, 64),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=provenance.version,
        source=provenance.software,
        parameters={shorten(name, 64): shorten(value, 1024) for name, value in parameters.items()},
    )


def _write(
    path: Path | str,
    labels: SparseVolume,
    segments: Sequence[SegmentDescription],
    source: SourceSeries,
    provenance: Provenance,
    title: str,
    content_label: str,
    series_number: int,
    deflated: bool,
) -> Dataset:
    """Write the frames of the slices with a label."""
    kept = labels.slices or [len(source.images) // 2]  # a Segmentation without a frame is not allowed
    found = np.zeros((len(kept), 1, 1, len(segments) + 1), np.uint8)
    for index, part in enumerate(labels.parts()):
        found[index, 0, 0, np.unique(part)] = 1
    dataset = Segmentation(
        source_images=outlines_of(source, kept),
        pixel_array=found[..., 1:],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        omit_empty_frames=bool(labels.rows),
        content_label=content_label,
        content_description=shorten(title, 64),
        content_creator_name="",
        **shared_arguments(source, provenance, title, series_number),
    )
    dataset.SegmentsOverlap = SegmentsOverlapValues.NO.value
    state_slice_distance(dataset, source)
    frames = frames_of(dataset, source)
    bits = _packed(labels, frames)
    return finish_and_write(dataset, source, provenance, path, bits, deflated, described(dataset, source, frames))


def _packed(labels: SparseVolume, frames: Sequence[Frame]) -> SparseVolume:
    """Frames of bits, the first pixel in the lowest bit of a byte (PS3.5 8.1.1).

    Args:
        labels: numbers of segments [slice, row, column].
        frames: the frames in their order.
    """
    _, rows, columns = labels.shape
    rows_of = dict(labels.rows)
    masks = zeros((len(frames), rows, columns), bool)
    places = []
    for number, frame in enumerate(frames):
        if part := rows_of.get(frame.plane):
            masks[number, part] = labels.array[frame.plane, part] == frame.segment
            places.append((slice(number, number + 1), part))
    if columns % 8:  # a byte holds pixels of two rows, and of two frames
        return SparseVolume.of(np.packbits(masks, bitorder="little").reshape(1, 1, -1))
    bits = zeros((len(frames), rows, columns // 8), np.uint8)
    for place in places:
        bits[place] = np.packbits(masks[place], axis=-1, bitorder="little")
    return SparseVolume.within(bits, places)
