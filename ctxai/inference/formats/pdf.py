"""A PDF with a page for each nodule, as a DICOM object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from ctxai.export.dicom.encapsulated_pdf import write_encapsulated_pdf
from ctxai.export.nodule_summary import Doubt, NoduleSummary
from ctxai.export.pdf import NodulePage, pdf_report
from ctxai.inference.formats.base import OutputFormat, SeriesOutput
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.overview import make_overview, marked_picture
from ctxai.inference.summary import FIDELITY, words_of
from ctxai.report.page import minus
from ctxai.report.tiles import nodule_tile
from ctxai.report.trust import Level


class Pdf(OutputFormat):
    """Pages to read and print."""

    name = "pdf"
    summary = "PDF: a page for each nodule"
    order = 70

    def write_report(self, output: SeriesOutput, references: Sequence[Dataset]) -> None:
        """Write the pages, each with the first method's map of the first target."""
        pages = [_page(output, *each) for each in zip(output.nodules, output.summaries, strict=True)]
        document = pdf_report(pages, output.provenances[0])
        write_encapsulated_pdf(output.dicom / "pdf" / "nodules.dcm", document, output.source, output.provenance)


def _page(output: SeriesOutput, nodule: ExplainedNodule, summary: NoduleSummary) -> NodulePage:
    (method, target), fused = next(iter(nodule.maps.items()))
    x, y, z = nodule.candidate.centre_lps
    overview, hu = make_overview(output.series, nodule)
    outline = "; green: the readers' consensus" if nodule.inside is not None else ""
    return NodulePage(
        _about_one_map(summary, words_of(method, target), [words_of(*key) for key in nodule.maps]),
        f"{overview.place}; centre ({minus(f'{x:.1f}, {y:.1f}, {z:.1f}')}) mm LPS; {overview.series}",
        nodule_tile(nodule.patch.hu, fused.values, nodule.inside, overview.image),
        f"Axial, coronal, sagittal through the centre; below with the map of {method.replace('_', ' ')} for {target}: "
        "yellow to red speaks for it, blue against it, the strongest colour stands for what 99 % of the map is at "
        f"most{outline}. Right: the whole axial slice, the nodule in a ring. R, L: the patient's right and left; A, P: "
        "anterior and posterior; H, F: head and feet.",
        marked_picture(output.series, overview, hu),
    )


def _about_one_map(summary: NoduleSummary, shown: str, maps: Sequence[str]) -> NoduleSummary:
    """A summary without the checks of maps that are not shown; how many of those are in doubt is said in one line."""
    others = [name for name in maps if name != shown]
    of_others = [f"{Level.MAP.value} {name}" for name in others]
    doubts = [one for one in summary.doubts if one.consequence not in of_others]
    doubted = len({one.consequence for one in summary.doubts} & {*of_others})
    if doubted:
        doubts.append(
            Doubt("Good to know", f"{doubted} of {len(others)} other maps, not shown here, failed a check.", False)
        )
    figures = [one for one in summary.figures if not any(one.name.startswith(f"{name}: ") for name in others)]
    return replace(
        summary, doubts=tuple(doubts), figures=tuple(one for one in figures if not one.name.endswith(FIDELITY))
    )
