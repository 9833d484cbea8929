"""DICOM Segmentations: the nodules, and a map as bands of evidence."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from ctxai.export.dicom.segmentation import SegmentedNodule, write_heat_bands, write_nodule_segmentation
from ctxai.inference.consensus import READERS, consensus_labels
from ctxai.inference.formats.base import MapOverlay, OutputFormat, SeriesOutput


class Segmentations(OutputFormat):
    """Binary segments, which most viewers draw."""

    name = "seg"
    summary = "Segmentation: nodules, and evidence in bands, deflated"
    order = 30

    def write_nodules(self, output: SeriesOutput) -> list[Dataset]:
        """Write the readers' consensus of the nodules, where there is any."""
        labels, outlined = consensus_labels(output.series.grid, output.nodules)
        if not outlined:
            return []
        segments = [SegmentedNodule(nodule_id) for nodule_id in outlined]
        readers = replace(READERS, explained=tuple(outlined))
        path = output.dicom / "seg" / "nodules.dcm"
        return [write_nodule_segmentation(path, labels, segments, output.source, readers, deflated=self.deflated)]

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write the bands of a map."""
        return [write_bands(output, overlay, self.deflated)]


class PlainSegmentations(Segmentations):
    """The same objects uncompressed, for archives that refuse Deflated Explicit VR Little Endian."""

    name = "seg-plain"
    summary = "Segmentation as seg, uncompressed"
    order = 31
    deflated = False


def write_bands(output: SeriesOutput, overlay: MapOverlay, deflated: bool = True) -> Dataset:
    """Write a map as bands of evidence, scaled in each nodule by itself; returns a reference to the object."""
    path = output.dicom / "seg" / f"{overlay.provenance.stem}_bands.dcm"
    return write_heat_bands(
        path,
        overlay.shares,
        output.source,
        overlay.provenance,
        scale=1.0,
        nodule_scales=overlay.nodule_scales,
        deflated=deflated,
    )
