"""DICOM Segmentations of type FRACTIONAL: a map in shades."""

from __future__ import annotations

from pydicom.dataset import Dataset

from ctxai.export.dicom.fractional import write_fractional_evidence
from ctxai.inference.formats.base import MapOverlay, OutputFormat, SeriesOutput


class FractionalSegmentations(OutputFormat):
    """Evidence for and against a target in 255 steps."""

    name = "fractional"
    summary = "Segmentation: evidence in shades, for Weasis, deflated"
    order = 40

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write one map."""
        path = output.dicom / "seg" / f"{overlay.provenance.stem}_graded.dcm"
        return [
            write_fractional_evidence(
                path, overlay.content, output.source, overlay.provenance, overlay.scale, deflated=self.deflated
            )
        ]


class PlainFractionalSegmentations(FractionalSegmentations):
    """The same objects uncompressed, for archives that refuse Deflated Explicit VR Little Endian."""

    name = "fractional-plain"
    summary = "Segmentation as fractional, uncompressed"
    order = 41
    deflated = False
