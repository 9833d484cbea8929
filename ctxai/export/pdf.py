"""Printed report: a page per nodule, the same bytes for the same content. It names no patient."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from xml.sax.saxutils import escape

from PIL import Image as Picture
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    Image,
    KeepInFrame,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from ctxai.disclaimer import NOTICE
from ctxai.export.nodule_summary import OVER_MODELS, Estimate, NoduleSummary
from ctxai.export.provenance import Provenance

_MARGIN = 16 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_INK, _SOFT, _LINE, _WARN = HexColor("#1a1d21"), HexColor("#5c6670"), HexColor("#c9d0d6"), HexColor("#b3261e")
_PREDICTED, _READERS = HexColor("#0b57d0"), HexColor("#188038")
_BOLD = "Helvetica-Bold"
_TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=9, leading=11.5, textColor=_INK)
_QUIET = ParagraphStyle("quiet", _TEXT, textColor=_SOFT)
_SMALL = ParagraphStyle("small", _QUIET, fontSize=8, leading=10)
_DOUBT = ParagraphStyle("doubt", _TEXT, fontSize=8.5, leading=11, textColor=_WARN)
_REMARK = ParagraphStyle("remark", _DOUBT, textColor=_INK)
_HEADING = ParagraphStyle("heading", _TEXT, fontName=_BOLD, spaceAfter=1.5)
_TITLE = ParagraphStyle("title", _TEXT, fontName=_BOLD, fontSize=12, leading=16)
_FOOTNOTE = ParagraphStyle("footnote", _QUIET, fontSize=7, leading=8.5)
#: Upper end of a scale that has none, mm: the largest nodule, by definition.
_OPEN_SCALE = 30.0
#: Reasons for doubt and further numbers that are printed; more are counted.
_DOUBTS, _FIGURES = 5, 20
_LIMITS = (
    "The model imitates how radiologists of LIDC-IDRI rated nodules on one CT. It knows nothing of the patient's age, "
    "history, earlier scans or pathology, and it looks for no nodules: whatever lies at the marked point is rated. The "
    "interval is for the readers' rating, not for a biopsy's result. A map shows what moved the model's output, not "
    "where disease is; blue speaks against the rating and is no sign of healthy tissue."
)
_GAP = 4 * mm
_WIDEST_PICTURE = 124 * mm


@dataclass(frozen=True, eq=False)
class NodulePage:
    """One page.

    Attributes:
        nodule: content of the page.
        place: position of the nodule, in words.
        picture: the CT, with the map.
        caption: description of the pictures.
        overview: the whole slice, the nodule marked; None where there is none.
    """

    nodule: NoduleSummary
    place: str
    picture: Picture.Image
    caption: str
    overview: Picture.Image | None = None


def pdf_report(pages: Sequence[NodulePage], provenance: Provenance) -> bytes:
    """A PDF with a page per nodule.

    Args:
        pages: the nodules, in the order to print.
        provenance: origin of predictions and maps; printed on every page.
    """
    buffer = io.BytesIO()
    frame = Frame(_MARGIN, 30 * mm, _WIDTH, A4[1] - 58 * mm, 0, 0, 0, 0)
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        invariant=1,
        title="Lung nodule report",
        author=f"{provenance.software} {provenance.version}",
        subject=NOTICE.capitalize(),
    )
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=partial(_furniture, provenance, len(pages))))
    story: list[Flowable] = []
    for page in pages:
        story += [KeepInFrame(_WIDTH, A4[1] - 58 * mm, list(_nodule(page)), mode="shrink"), PageBreak()]
    document.build(story)
    return buffer.getvalue()


def _furniture(provenance: Provenance, pages: int, canvas: Canvas, document: BaseDocTemplate) -> None:
    """Head and foot of a page."""
    top = A4[1] - 18 * mm
    canvas.setFont(_BOLD, 15)
    canvas.setFillColor(_INK)
    canvas.drawString(_MARGIN, top, "Lung nodule report")
    canvas.setFont(_BOLD, 10)
    canvas.setFillColor(_WARN)
    canvas.drawRightString(_MARGIN + _WIDTH, top, NOTICE.capitalize())
    method, target = (name.replace("_", " ") for name in (provenance.method, provenance.target))
    model = f"model {provenance.run or 'none'}; explained by {method}, target {target}"
    head = KeepInFrame(_WIDTH, 12, [Paragraph(escape(model), _QUIET)], mode="truncate")
    foot = KeepInFrame(_WIDTH - 15 * mm, 18 * mm, [Paragraph(escape(provenance.describe(700)), _FOOTNOTE)])
    for block, above in ((head, top - 2 * mm), (foot, 27 * mm)):
        _, height = block.wrapOn(canvas, _WIDTH, 18 * mm)
        block.drawOn(canvas, _MARGIN, above - height)
    canvas.setStrokeColor(_LINE)
    for y in (top - 9 * mm, 28 * mm):
        canvas.line(_MARGIN, y, _MARGIN + _WIDTH, y)
    canvas.setFont("Helvetica", 7)
    canvas.setFillColor(_SOFT)
    canvas.drawRightString(_MARGIN + _WIDTH, 9 * mm, f"{canvas.getPageNumber()} of {pages}")


def _nodule(page: NodulePage) -> Iterator[Flowable]:
    nodule = page.nodule
    sizes = [page.place]
    if nodule.diameter_mm is not None:
        by = "measured by readers" if nodule.ratings else "given with the point"
        sizes.append(f"diameter {nodule.diameter_mm:.1f} mm, {by}")
    if nodule.volume_mm3 is not None:
        sizes.append(f"volume {nodule.volume_mm3:.0f} mm\u00b3")
    yield Paragraph(escape(nodule.nodule_id), _TITLE)
    yield Paragraph(escape("; ".join(sizes)), _QUIET)
    for doubt in nodule.doubts[:_DOUBTS]:
        yield Paragraph(escape(doubt.text), _DOUBT if doubt.grave else _REMARK)
    if len(nodule.doubts) > _DOUBTS:
        yield Paragraph(f"and {len(nodule.doubts) - _DOUBTS} more reasons for doubt", _DOUBT)
    yield Spacer(1, 3 * mm)
    yield _pictures(page)
    yield Spacer(1, 1.5 * mm)
    yield Paragraph(escape(page.caption), _SMALL)
    yield Spacer(1, 4 * mm)
    if nodule.estimates:
        yield _estimates(nodule)
        known = [one for one in nodule.estimates if one.spread is not None]
        if known:
            apart = ", ".join(f"{one.name} {one.spread:.2f} {one.unit}".rstrip() for one in known)
            yield Paragraph(escape(f"{OVER_MODELS.capitalize()}: {apart}"), _SMALL)
        yield Spacer(1, 4 * mm)
    if nodule.figures:
        yield _figures(nodule)
        yield Spacer(1, 4 * mm)
    yield Paragraph("What this is not", _HEADING)
    yield Paragraph(escape(_LIMITS), _SMALL)


def _pictures(page: NodulePage) -> Flowable:
    """The planes; beside them the whole slice."""
    planes = _picture(page.picture, _WIDEST_PICTURE)
    if page.overview is None:
        return planes
    whole = _picture(page.overview, _WIDTH - _WIDEST_PICTURE - _GAP)
    bare = TableStyle([(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")])
    bare.add("VALIGN", (0, 0), (-1, -1), "TOP")
    return Table([[planes, whole]], colWidths=[_WIDEST_PICTURE + _GAP, None], style=bare, hAlign="LEFT")


def _picture(picture: Picture.Image, widest: float) -> Image:
    width = min(widest, 100 * mm * picture.width / picture.height)
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "PNG")
    return Image(stream, width, width * picture.height / picture.width, hAlign="LEFT")


def _estimates(nodule: NoduleSummary) -> Table:
    head = ["", "predicted", "90 % interval", "readers", "each reader", ""]
    rows = []
    for one in nodule.estimates:
        name = f"{one.name}, {one.unit}" if one.unit else one.name
        each = " ".join(str(ratings[one.name]) for ratings in nodule.ratings if one.name in ratings)
        readers = "" if one.readers is None else f"{one.readers:.1f}"
        rows.append([name, f"{one.value:.1f}", _interval(one), readers, each, _Scale(one)])
    style = TableStyle(
        [
            ("FONT", (0, 0), (-1, 0), _BOLD, 8),
            ("TEXTCOLOR", (0, 0), (-1, 0), _SOFT),
            ("TEXTCOLOR", (1, 0), (1, 0), _PREDICTED),
            ("TEXTCOLOR", (3, 0), (3, 0), _READERS),
            ("FONT", (0, 1), (-1, -1), "Helvetica", 9),
            ("FONT", (0, 1), (-2, 1), _BOLD, 9),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ]
    )
    widths = [36 * mm, 19 * mm, 27 * mm, 18 * mm, 26 * mm, _Scale.WIDTH + 6 * mm]
    return Table([head, *rows], colWidths=widths, style=style, hAlign="LEFT")


def _interval(estimate: Estimate) -> str:
    """The interval in words; an end that calibration on few nodules could not set is left out."""
    if estimate.low is not None and estimate.high is not None:
        return f"{estimate.low:.1f} to {estimate.high:.1f}"
    if estimate.low is not None:
        return f"from {estimate.low:.1f}"
    return "" if estimate.high is None else f"up to {estimate.high:.1f}"


class _Scale(Flowable):
    """The interval as a bar on the whole scale, the prediction as a disc, the readers' mean as a tick."""

    WIDTH, HEIGHT = 46 * mm, 4 * mm

    def __init__(self, estimate: Estimate) -> None:
        super().__init__()
        self.width, self.height, self._estimate = self.WIDTH, self.HEIGHT, estimate

    def draw(self) -> None:
        """Draw on the canvas."""
        one, canvas, y = self._estimate, self.canv, self.HEIGHT / 2
        low, high = one.scale
        if math.isinf(high):
            high = max(value for value in (_OPEN_SCALE, one.value, one.high, one.readers) if value)
        if math.isinf(low):
            low = min(0.0, one.value, *(value for value in (one.low, one.readers) if value is not None))

        def x(value: float) -> float:
            return (min(max(value, low), high) - low) / (high - low) * self.WIDTH

        def line(start: float, end: float, rise: float, ink: Color, width: float) -> None:
            canvas.setStrokeColor(ink)
            canvas.setLineWidth(width)
            canvas.line(start, y - rise, end, y + rise)

        line(x(low), x(high), 0, _LINE, 0.8)
        if one.low is not None and one.high is not None:
            line(x(one.low), x(one.high), 0, _PREDICTED, 2.4)
        canvas.setFillColor(_PREDICTED)
        canvas.circle(x(one.value), y, 1.3 * mm, stroke=0, fill=1)
        if one.readers is not None:
            line(x(one.readers), x(one.readers), 2 * mm, _READERS, 1.6)


def _figures(nodule: NoduleSummary) -> Table:
    """Further numbers in two columns."""
    texts = [f"{one.name}: {one.text}" for one in nodule.figures]
    if len(texts) > _FIGURES:
        texts[_FIGURES - 1 :] = [f"and {len(texts) - _FIGURES + 1} more numbers in predictions.csv"]
    cells = [Paragraph(escape(text), _SMALL) for text in texts] + [""] * (len(texts) % 2)
    style = TableStyle(
        [
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ]
    )
    rows = list(zip(cells[::2], cells[1::2], strict=True))
    return Table(rows, colWidths=[_WIDTH / 2] * 2, style=style, hAlign="LEFT")
