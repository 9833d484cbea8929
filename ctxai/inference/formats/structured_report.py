"""DICOM Structured Report: predictions and measurements of every nodule."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.inference.formats.base import OutputFormat, SeriesOutput


class StructuredReport(OutputFormat):
    """One report of all nodules (TID 1500)."""

    name = "sr"
    summary = "Structured Report: predictions, intervals, ratings"
    order = 50

    def write_report(self, output: SeriesOutput, references: Sequence[Dataset]) -> None:
        """Write the report, which cites all maps and Segmentations."""
        path = output.dicom / "sr" / "nodules.dcm"
        write_structured_report(path, output.summaries, output.source, output.provenance, references)
