"""Table of all nodules of a result folder, which sorts and filters in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ctxai.data.targets import TargetTable
from ctxai.report.own_targets import OwnPrediction, own_predictions
from ctxai.report.page import number, render_fragment
from ctxai.report.ratings import interval_plot, outside_interval, readers_mean
from ctxai.report.trust import Level, MapTrust, map_trust, warnings_of
from ctxai.results_folder import maps_of

_COLUMNS = (
    *("nodule", "malignancy", "readers", "difference", "diameter, mm", "measured by", "readers (n)"),
    *("number", "maps", "series"),
)
_RATED = 3
"""Columns of malignancy, its readers and their difference."""

#: Up to so many nodules are not searched or filtered.
_FEW = 8


def cohort_table(
    rows: Sequence[Mapping[str, Any]], links: Sequence[str], own: Sequence[TargetTable | None] = ()
) -> Markup:
    """HTML of the table with its search field.

    Args:
        rows: rows of predictions.csv.
        links: address of each nodule's section.
        own: targets of one's own of each row, of which the first stands in place of malignancy and its readers.
    """
    lines = [_line(row, link) for row, link in zip(rows, links, strict=True)]
    columns = list(_COLUMNS)
    if any(own):
        firsts = [_first(row, table) for row, table in zip(rows, own, strict=True)]
        names = {first.name for first in firsts}
        columns[1 : 1 + _RATED] = [firsts[0].name if len(names) == 1 else "first target"]
        for line, first in zip(lines, firsts, strict=True):
            told = first.predicted if len(names) == 1 else f"{first.name}: {first.predicted}"
            line["cells"] = [("" if first.value is None else first.value, told), *line["cells"][_RATED:]]
    return render_fragment("cohort.html", columns=columns, lines=lines, few=_FEW, own=any(own) or None)


def _first(row: Mapping[str, Any], own: TargetTable | None) -> OwnPrediction:
    """The prediction of the first target; malignancy where there are none of one's own."""
    if own is not None:
        return own_predictions(row, own)[0]
    return OwnPrediction("malignancy", row.get("malignancy"), number(row.get("malignancy")), "")


def _line(row: Mapping[str, Any], link: str) -> dict[str, Any]:
    predicted, readers = row.get("malignancy"), readers_mean(row, "malignancy")
    difference = None if predicted is None or readers is None else predicted - readers
    measured = readers_mean(row, "diameter")
    diameter = next((one for one in (measured, row.get("diameter_mm"), row.get("diameter")) if one is not None), None)
    source = "readers" if measured is not None else "given" if row.get("diameter_mm") is not None else "model"
    found = warnings_of(row)
    number_warnings = [one.text for one in found if one.level == Level.NUMBER]
    maps = [map_trust(row, column) for column in maps_of(row)]
    of_all = [one.text for one in found if one.level == Level.MAP]
    map_warnings = of_all + [reason for one in maps for reason in one.warnings]
    doubted = len(maps) if of_all else sum(bool(one.warnings) for one in maps)
    kinds = {
        "doubt": bool(found or map_warnings),
        "outside": outside_interval(row, "malignancy"),
        "suspicious": predicted is not None and predicted > 3,
    }
    cells = [
        (predicted, number(predicted)),
        (readers, number(readers)),
        (difference, number(difference, signed=True)),
        (diameter, number(diameter)),
        (source, source),
        (row.get("n_readers"), str(row.get("n_readers") or "–")),
    ]
    return {
        "nodule_id": row["nodule_id"],
        "series": row["series"],
        "link": link,
        "text": f"{row['nodule_id']} {row['series']}".lower(),
        "kinds": [name for name, holds in kinds.items() if holds],
        "cells": [("" if value is None else value, text) for value, text in cells],
        "plot": interval_plot(row, "malignancy"),
        "checks": [
            (len(number_warnings), number_warnings, "do not use" if number_warnings else "usable"),
            (doubted, map_warnings, _maps_checked(maps, doubted)),
        ],
    }


def _maps_checked(maps: Sequence[MapTrust], doubted: int) -> str:
    """Checks of all maps in a few words; a map without figures is not checked, which is no pass."""
    if not any(one.figures for one in maps):
        return "not checked" if maps else "–"
    return f"{doubted} of {len(maps)} in doubt" if doubted else "no doubt"
