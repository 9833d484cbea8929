"""All nodules of a result folder as a table that sorts and filters in the browser."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from ctxai.report.ratings import interval_plot, number, outside_interval, readers_mean
from ctxai.report.trust import map_trust, prediction_warnings


def maps_of(row: Mapping[str, Any]) -> list[str]:
    """The maps, ``<method>_<target>``, that a line of predictions.csv has figures of."""
    return [name.removesuffix("_inside") for name in row if name.endswith("_inside")]


def cohort_table(rows: Sequence[Mapping[str, Any]], links: Sequence[str]) -> str:
    """HTML of the table with its search field.

    Args:
        rows: lines of predictions.csv.
        links: address of each nodule's section.
    """
    columns = ("nodule", "malignancy", "readers", "difference", "diameter, mm", "readers (n)", "doubts", "series")
    head = "".join(
        f'<th scope="col"><button type="button">{html.escape(name)}</button></th>'
        + ('<th scope="col">on its scale</th>' if name == "malignancy" else "")
        for name in columns
    )
    body = "\n".join(_line(row, link) for row, link in zip(rows, links, strict=True))
    return f"""<section class="all" aria-label="All nodules">
<div class="controls"><label>Search <input type="search" id="cohort-search" placeholder="nodule or series"></label>
<label>Show <select id="cohort-kind"><option value="">all nodules</option>
<option value="doubt">with a doubt</option>
<option value="outside">readers outside the interval</option>
<option value="suspicious">malignancy above 3</option></select></label>
<output id="cohort-count" aria-live="polite">{len(rows)} of {len(rows)} nodules</output></div>
<div class="scroll"><table class="cohort"><caption class="visually-hidden">All nodules; the headings sort</caption>
<thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
</section>"""


def _line(row: Mapping[str, Any], link: str) -> str:
    predicted, readers = row.get("malignancy"), readers_mean(row, "malignancy")
    difference = None if predicted is None or readers is None else predicted - readers
    doubts = prediction_warnings(row) + [w for column in maps_of(row) for w in map_trust(row, column).warnings]
    kinds = []
    if doubts:
        kinds.append("doubt")
    if outside_interval(row, "malignancy"):
        kinds.append("outside")
    if predicted is not None and predicted > 3:
        kinds.append("suspicious")
    nodule_id, series = html.escape(row["nodule_id"]), html.escape(row["series"])
    cells = [
        f'<th scope="row" data-value="{nodule_id}"><a href="{html.escape(link)}">{nodule_id}</a></th>',
        _cell(predicted),
        f"<td>{interval_plot(row, 'malignancy')}</td>",
        _cell(readers),
        _cell(difference, "–" if difference is None else f"{difference:+z.1f}".replace("-", "−")),
        _cell(readers_mean(row, "diameter") if readers_mean(row, "diameter") is not None else row.get("diameter")),
        _cell(row.get("n_readers"), str(row.get("n_readers") or "–")),
        f'<td data-value="{len(doubts)}" title="{html.escape(" ".join(doubts))}">{len(doubts) or "–"}</td>',
        f'<td data-value="{series}"><code>{series}</code></td>',
    ]
    text = html.escape(f"{row['nodule_id']} {row['series']}".lower())
    return f'<tr data-text="{text}" data-kinds="{" ".join(kinds)}">{"".join(cells)}</tr>'


def _cell(value: float | None, text: str | None = None) -> str:
    return f'<td data-value="{"" if value is None else value}">{number(value) if text is None else text}</td>'
