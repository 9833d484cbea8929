"""Table of all nodules of a result folder, which sorts and filters in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ctxai.report.page import number, render_fragment
from ctxai.report.ratings import interval_plot, outside_interval, readers_mean
from ctxai.report.trust import map_trust, prediction_warnings

_COLUMNS = ("nodule", "malignancy", "readers", "difference", "diameter, mm", "readers (n)", "doubts", "series")


def maps_of(row: Mapping[str, Any]) -> list[str]:
    """The maps, ``<method>_<target>``, that a row of predictions.csv has figures of."""
    return [name.removesuffix("_inside") for name in row if name.endswith("_inside")]


def cohort_table(rows: Sequence[Mapping[str, Any]], links: Sequence[str]) -> Markup:
    """HTML of the table with its search field.

    Args:
        rows: rows of predictions.csv.
        links: address of each nodule's section.
    """
    lines = [_line(row, link) for row, link in zip(rows, links, strict=True)]
    return render_fragment("cohort.html", columns=_COLUMNS, lines=lines)


def _line(row: Mapping[str, Any], link: str) -> dict[str, object]:
    predicted, readers = row.get("malignancy"), readers_mean(row, "malignancy")
    difference = None if predicted is None or readers is None else predicted - readers
    measured = readers_mean(row, "diameter")
    diameter = row.get("diameter") if measured is None else measured
    doubts = prediction_warnings(row) + [w for column in maps_of(row) for w in map_trust(row, column).warnings]
    kinds = {
        "doubt": bool(doubts),
        "outside": outside_interval(row, "malignancy"),
        "suspicious": predicted is not None and predicted > 3,
    }
    cells = [
        (predicted, number(predicted)),
        (readers, number(readers)),
        (difference, number(difference, signed=True)),
        (diameter, number(diameter)),
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
        "doubts": doubts,
    }
