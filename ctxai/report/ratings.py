"""A prediction with its interval and the readers' mean, drawn on the scale of the rating."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

#: What the lowest and the highest rating of LIDC-IDRI's readers mean.
_ENDS = {
    "malignancy": ("highly unlikely", "highly suspicious"),
    "subtlety": ("extremely subtle", "obvious"),
    "calcification": ("popcorn", "absent"),
    "margin": ("poorly defined", "sharp"),
    "lobulation": ("none", "marked"),
    "spiculation": ("none", "marked"),
    "texture": ("non-solid", "solid"),
    "sphericity": ("linear", "round"),
}
_HIGHEST = {"calcification": 6.0}
_WIDTH, _MARGIN, _MIDDLE = 250.0, 9.0, 11.0
_HEIGHT, _HEIGHT_WITH_ENDS = 22.0, 34.0
_SMALLEST_DIAMETER_SCALE_MM = 30.0


def rated_names(row: Mapping[str, Any]) -> list[str]:
    """The numbers of a line of predictions.csv that have an interval: malignancy and the biomarkers."""
    return [name.removesuffix("_low") for name in row if name.endswith("_low")]


def readers_mean(row: Mapping[str, Any], name: str) -> float | None:
    """What the readers said of it, None where nobody did; the diameter is measured in their outlines."""
    if name == "diameter":
        return row.get("diameter_mm") if row.get("n_readers") else None
    return row.get(f"readers_{name}")


def scale_of(row: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Lowest and highest value that is drawn; for the diameter (mm) a round number above all that is shown."""
    if name != "diameter":
        return 1.0, _HIGHEST.get(name, 5.0)
    shown = [row.get("diameter"), row.get("diameter_high"), readers_mean(row, name), _SMALLEST_DIAMETER_SCALE_MM]
    return 0.0, 10.0 * math.ceil(max(value for value in shown if value is not None) / 10)


def outside_interval(row: Mapping[str, Any], name: str) -> bool:
    """Whether the readers' mean lies outside the prediction's interval."""
    low, high, readers = row.get(f"{name}_low"), row.get(f"{name}_high"), readers_mean(row, name)
    return readers is not None and ((low is not None and readers < low) or (high is not None and readers > high))


def rating_table(row: Mapping[str, Any]) -> str:
    """An HTML table with a line per rating: the plot, and the same in numbers."""
    lines = "\n".join(_line(row, name) for name in rated_names(row))
    return f"""<div class="scroll"><table class="ratings">
<thead><tr><th scope="col">rating</th><th scope="col"><span class="visually-hidden">plot</span></th>
<th scope="col">predicted</th><th scope="col">90&nbsp;% interval</th><th scope="col">readers</th></tr></thead>
<tbody>
{lines}
</tbody></table></div>"""


def interval_plot(row: Mapping[str, Any], name: str, with_ends: bool = False) -> str:
    """An inline SVG: scale, interval (bar), prediction (dot), readers' mean (diamond).

    Args:
        row: a line of predictions.csv.
        name: the rating.
        with_ends: write what the ends of the scale mean below it.
    """
    lowest, highest = scale_of(row, name)

    def place(value: float) -> str:
        share = (min(max(value, lowest), highest) - lowest) / (highest - lowest)
        return f"{_MARGIN + share * (_WIDTH - 2 * _MARGIN):.1f}"

    step = 10.0 if name == "diameter" else 1.0
    ticks = [lowest + step * i for i in range(int((highest - lowest) / step) + 1)]
    middle, height = _MIDDLE, _HEIGHT_WITH_ENDS if with_ends else _HEIGHT
    parts = [f'<path class="axis" d="M{place(lowest)} {middle}H{place(highest)}"/>']
    parts += [f'<path class="axis" d="M{place(tick)} {middle - 3}v6"/>' for tick in ticks]
    low, high, predicted = row.get(f"{name}_low"), row.get(f"{name}_high"), row.get(name)
    if low is not None or high is not None:  # an open end reaches the end of the scale
        start, end = place(lowest if low is None else low), place(highest if high is None else high)
        parts.append(f'<path class="interval" d="M{start} {middle}H{end}"/>')
    readers = readers_mean(row, name)
    if readers is not None:
        parts.append(f'<path class="readers" d="M{place(readers)} {middle - 7}l7 7l-7 7l-7 -7z"/>')
    if predicted is not None:
        parts.append(f'<circle class="predicted" cx="{place(predicted)}" cy="{middle}" r="4"/>')
    if with_ends:
        low_meaning, high_meaning = _ENDS.get(name, ("mm", "mm"))
        parts.append(f'<text x="0" y="31">{lowest:.0f} {low_meaning}</text>')
        parts.append(f'<text x="{_WIDTH:.0f}" y="31" text-anchor="end">{highest:.0f} {high_meaning}</text>')
    size = f'width="{_WIDTH:.0f}" height="{height:.0f}" viewBox="0 0 {_WIDTH:.0f} {height:.0f}"'
    return f'<svg class="interval-plot" {size} aria-hidden="true">{"".join(parts)}</svg>'


def number(value: float | None) -> str:
    """One decimal; a dash where there is no number."""
    return "–" if value is None else f"{value:.1f}"


def _line(row: Mapping[str, Any], name: str) -> str:
    low, high, readers = row.get(f"{name}_low"), row.get(f"{name}_high"), readers_mean(row, name)
    flag = ' class="outside" title="outside the interval"' if outside_interval(row, name) else ""
    return (
        f'<tr><th scope="row">{html.escape(name)}</th><td>{interval_plot(row, name, with_ends=True)}</td>'
        f"<td>{number(row.get(name))}</td><td>{number(low)} to {number(high)}</td><td{flag}>{number(readers)}</td></tr>"
    )
