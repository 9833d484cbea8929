"""The printed report: a page per nodule, the same bytes for the same content. It names no patient."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader, simpleSplit
from reportlab.pdfgen.canvas import Canvas

from ctxai.disclaimer import NOTICE
from ctxai.export.nodule_summary import Estimate, NamedValue, NoduleSummary
from ctxai.export.provenance import Provenance

_WIDTH, _HEIGHT = A4
_MARGIN = 16 * mm
_INK, _SOFT, _LINE, _WARN = HexColor("#1a1d21"), HexColor("#5c6670"), HexColor("#c9d0d6"), HexColor("#b3261e")
_PREDICTED, _READERS = HexColor("#0b57d0"), HexColor("#188038")
_TEXT, _BOLD = "Helvetica", "Helvetica-Bold"
_ROW = 6.2 * mm
#: Upper end of a scale that has none, mm: the largest nodule, by definition.
_OPEN_SCALE = 30.0
#: Doubts that are printed in words; more are counted.
_DOUBTS = 5
#: Left edges of the table's columns, and the reach of its drawn scale.
_COLUMNS = (0.0, 36 * mm, 55 * mm, 82 * mm, 100 * mm)
_SCALE = (128 * mm, 174 * mm)


@dataclass(frozen=True, eq=False)
class NodulePage:
    """One page.

    Attributes:
        nodule: what is said.
        place: where the nodule is, in words.
        picture: the CT, with the map.
        caption: what the picture shows.
    """

    nodule: NoduleSummary
    place: str
    picture: Image.Image
    caption: str


def pdf_report(pages: Sequence[NodulePage], provenance: Provenance) -> bytes:
    """A PDF with a page per nodule.

    Args:
        pages: the nodules, in the order to print.
        provenance: how predictions and maps came to be; printed on every page.
    """
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    canvas.setTitle("Lung nodule report")
    canvas.setAuthor(f"{provenance.software} {provenance.version}")
    canvas.setSubject(NOTICE.capitalize())
    for number, page in enumerate(pages, start=1):
        top = _header(canvas, provenance)
        top = _heading(canvas, page, top)
        top = _picture(canvas, page, top)
        top = _table(canvas, page.nodule, top)
        _figures(canvas, page.nodule.figures, top)
        _footer(canvas, provenance, f"{number} of {len(pages)}")
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _write(
    canvas: Canvas, x: float, y: float, text: str, size: float = 9, font: str = _TEXT, ink: Color = _INK
) -> None:
    canvas.setFont(font, size)
    canvas.setFillColor(ink)
    canvas.drawString(_MARGIN + x, y, text)


def _rule(canvas: Canvas, y: float) -> None:
    canvas.setStrokeColor(_LINE)
    canvas.setLineWidth(0.5)
    canvas.line(_MARGIN, y, _WIDTH - _MARGIN, y)


def _header(canvas: Canvas, provenance: Provenance) -> float:
    y = _HEIGHT - 18 * mm
    _write(canvas, 0, y, "Lung nodule report", 15, _BOLD)
    canvas.setFont(_BOLD, 10)
    canvas.setFillColor(_WARN)
    canvas.drawRightString(_WIDTH - _MARGIN, y, NOTICE.capitalize())
    what = f"model {provenance.run or 'none'}; explained by {provenance.method}, target {provenance.target}"
    _write(canvas, 0, y - 5 * mm, _fitted(what, 9, _WIDTH - 2 * _MARGIN), ink=_SOFT)
    _rule(canvas, y - 8 * mm)
    return y - 15 * mm


def _heading(canvas: Canvas, page: NodulePage, top: float) -> float:
    _write(canvas, 0, top, page.nodule.nodule_id, 12, _BOLD)
    sizes = [page.place]
    if page.nodule.diameter_mm is not None:
        sizes.append(f"diameter {page.nodule.diameter_mm:.1f} mm")
    if page.nodule.volume_mm3 is not None:
        sizes.append(f"volume {page.nodule.volume_mm3:.0f} mm\u00b3")
    _write(canvas, 0, top - 5 * mm, "; ".join(sizes), ink=_SOFT)
    y = top - 9.5 * mm
    for doubt in page.nodule.doubts[:_DOUBTS]:
        _write(canvas, 0, y, _fitted(doubt, 8.5, _WIDTH - 2 * _MARGIN), 8.5, ink=_WARN)
        y -= 4 * mm
    if len(page.nodule.doubts) > _DOUBTS:
        _write(canvas, 0, y, f"and {len(page.nodule.doubts) - _DOUBTS} more reasons for doubt", 8.5, ink=_WARN)
        y -= 4 * mm
    return y + 1.5 * mm


def _picture(canvas: Canvas, page: NodulePage, top: float) -> float:
    width = 132 * mm
    height = min(width * page.picture.height / page.picture.width, 100 * mm)
    width = height * page.picture.width / page.picture.height
    canvas.drawImage(ImageReader(page.picture.convert("RGB")), _MARGIN, top - height, width, height)
    y = top - height - 4 * mm
    for line in simpleSplit(page.caption, _TEXT, 8, _WIDTH - 2 * _MARGIN):
        _write(canvas, 0, y, line, 8, ink=_SOFT)
        y -= 3.5 * mm
    return y - 4 * mm


def _table(canvas: Canvas, nodule: NoduleSummary, top: float) -> float:
    for x, title in zip(_COLUMNS, ("", "predicted", "90 % interval", "readers", "each reader"), strict=True):
        _write(canvas, x, top, title, 8, _BOLD, _SOFT)
    _write(canvas, _SCALE[0], top, "predicted", 8, _BOLD, _PREDICTED)
    _write(canvas, _SCALE[0] + 22 * mm, top, "readers", 8, _BOLD, _READERS)
    y = top
    for place, estimate in enumerate(nodule.estimates):
        y -= _ROW
        font = _TEXT if place else _BOLD
        unit = f", {estimate.unit}" if estimate.unit else ""
        each = " ".join(str(ratings[estimate.name]) for ratings in nodule.ratings if estimate.name in ratings)
        readers = "" if estimate.readers is None else f"{estimate.readers:.1f}"
        cells = (f"{estimate.name}{unit}", f"{estimate.value:.1f}", _interval(estimate), readers, each)
        for x, cell in zip(_COLUMNS, cells, strict=True):
            _write(canvas, x, y, cell, 9, font)
        _draw_scale(canvas, estimate, y + 1.1 * mm)
    return y - 8 * mm


def _interval(estimate: Estimate) -> str:
    """The interval in words; an end that calibration on few nodules could not set is left out."""
    if estimate.low is not None and estimate.high is not None:
        return f"{estimate.low:.1f} to {estimate.high:.1f}"
    if estimate.low is not None:
        return f"from {estimate.low:.1f}"
    return "" if estimate.high is None else f"up to {estimate.high:.1f}"


def _draw_scale(canvas: Canvas, estimate: Estimate, y: float) -> None:
    """The interval as a bar on the whole scale, the prediction as a disc, the readers' mean as a tick."""
    low, high = estimate.scale
    if math.isinf(high):
        high = max(value for value in (_OPEN_SCALE, estimate.value, estimate.high, estimate.readers) if value)

    def place(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return _MARGIN + _SCALE[0] + share * (_SCALE[1] - _SCALE[0])

    canvas.setStrokeColor(_LINE)
    canvas.setLineWidth(0.8)
    canvas.line(place(low), y, place(high), y)
    if estimate.low is not None and estimate.high is not None:
        canvas.setStrokeColor(_PREDICTED)
        canvas.setLineWidth(2.4)
        canvas.line(place(estimate.low), y, place(estimate.high), y)
    canvas.setFillColor(_PREDICTED)
    canvas.circle(place(estimate.value), y, 1.3 * mm, stroke=0, fill=1)
    if estimate.readers is not None:
        canvas.setStrokeColor(_READERS)
        canvas.setLineWidth(1.6)
        canvas.line(place(estimate.readers), y - 2 * mm, place(estimate.readers), y + 2 * mm)


def _figures(canvas: Canvas, figures: Sequence[NamedValue], top: float) -> None:
    """Further numbers in two columns, as many as fit."""
    half = (_WIDTH - 2 * _MARGIN) / 2
    lowest = 36 * mm
    for number, figure in enumerate(figures):
        y = top - number // 2 * 4.6 * mm
        if y < lowest:
            return
        value = f"{figure.value:.1%}".replace("%", " %") if figure.percent else f"{figure.value:.3g}"
        _write(canvas, number % 2 * half, y, _fitted(f"{value} {figure.name}", 8.5, half - 3 * mm), 8.5)


def _footer(canvas: Canvas, provenance: Provenance, number: str) -> None:
    limits = (
        "A map shows what moved the model's output, not where disease is. The interval is for the readers' rating, "
        "not for a biopsy's result."
    )
    lines = simpleSplit(f"{limits} {provenance.describe(700)}", _TEXT, 7, _WIDTH - 2 * _MARGIN)[:6]
    y = 11 * mm + len(lines) * 3 * mm
    _rule(canvas, y + 3 * mm)
    for line in lines:
        _write(canvas, 0, y, line, 7, ink=_SOFT)
        y -= 3 * mm
    canvas.drawRightString(_WIDTH - _MARGIN, 8 * mm, number)


def _fitted(text: str, size: float, width: float) -> str:
    """The text's first line of a width."""
    lines = simpleSplit(text, _TEXT, size, width)
    return lines[0] if len(lines) < 2 else f"{lines[0]} ..."
