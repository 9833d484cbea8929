"""A PDF with a page for each nodule, as a DICOM object."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from ctxai.export.dicom.encapsulated_pdf import write_encapsulated_pdf
from ctxai.export.nodule_summary import NoduleSummary
from ctxai.export.pdf import NodulePage, pdf_report
from ctxai.inference.formats.base import OutputFormat, SeriesOutput
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.overview import make_overview
from ctxai.report.tiles import nodule_tile


class Pdf(OutputFormat):
    """Pages to read and print."""

    name = "pdf"
    summary = "PDF: a page for each nodule"
    order = 70

    def write_report(self, output: SeriesOutput, references: Sequence[Dataset]) -> None:
        """Write the pages, each with the first method's map of the first target."""
        pages = [_page(output, *each) for each in zip(output.nodules, output.summaries, strict=True)]
        document = pdf_report(pages, output.provenance)
        write_encapsulated_pdf(output.dicom / "pdf" / "nodules.dcm", document, output.source, output.provenance)


def _page(output: SeriesOutput, nodule: ExplainedNodule, summary: NoduleSummary) -> NodulePage:
    (method, target), fused = next(iter(nodule.maps.items()))
    x, y, z = nodule.candidate.centre_lps
    overview, _ = make_overview(output.series, nodule)
    outline = "; green: the readers' consensus" if nodule.inside is not None else ""
    return NodulePage(
        summary,
        f"{overview.place}; centre ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS; {overview.series}",
        nodule_tile(nodule.patch.hu, fused.values, nodule.inside),
        f"Axial, coronal, sagittal through the centre; below with the map of {method.replace('_', ' ')} for {target}: "
        f"yellow to red speaks for it, blue against it{outline}. R, L: the patient's right and left; A, P: anterior "
        "and posterior; H, F: head and feet.",
    )
