"""A prediction with its interval and the readers' mean, drawn on the scale of the rating."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ctxai.report.page import render_fragment

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
_WIDTH, _MARGIN = 250, 9
_HEIGHT, _HEIGHT_WITH_ENDS = 22, 34
_SMALLEST_DIAMETER_SCALE_MM = 30.0


def rated_names(row: Mapping[str, Any]) -> list[str]:
    """The ratings of a row of predictions.csv: malignancy and the biomarkers."""
    rated = (name.removesuffix("_low") for name in row if name.endswith("_low"))
    return [name for name in rated if name != "malignancy_probability"]


def readers_mean(row: Mapping[str, Any], name: str) -> float | None:
    """Mean of the readers' ratings, None without any; the diameter is measured in their outlines."""
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


def rating_table(row: Mapping[str, Any]) -> Markup:
    """An HTML table with a line per rating: the plot, and the same in numbers."""
    ratings = [
        {
            "name": name,
            "plot": interval_plot(row, name, with_ends=True),
            "predicted": row.get(name),
            "low": row.get(f"{name}_low"),
            "high": row.get(f"{name}_high"),
            "readers": readers_mean(row, name),
            "outside": outside_interval(row, name),
        }
        for name in rated_names(row)
    ]
    return render_fragment("ratings.html", ratings=ratings)


def interval_plot(row: Mapping[str, Any], name: str, with_ends: bool = False) -> Markup:
    """An inline SVG: scale, interval (bar), prediction (dot), readers' mean (diamond).

    Args:
        row: a row of predictions.csv.
        name: the rating.
        with_ends: write the meaning of the ends of the scale below it.
    """
    lowest, highest = scale_of(row, name)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    closed = (lowest if low is None else low, highest if high is None else high)  # an open end reaches the scale's
    step = 10.0 if name == "diameter" else 1.0

    def x(value: float) -> str:
        share = (min(max(value, lowest), highest) - lowest) / (highest - lowest)
        return f"{_MARGIN + share * (_WIDTH - 2 * _MARGIN):.1f}"

    ends = [f"{end:.0f} {word}" for end, word in zip((lowest, highest), _ENDS.get(name, ("mm", "mm")), strict=True)]
    return render_fragment(
        "interval_plot.html",
        width=_WIDTH,
        height=_HEIGHT_WITH_ENDS if with_ends else _HEIGHT,
        x=x,
        lowest=lowest,
        highest=highest,
        ticks=[lowest + step * i for i in range(int((highest - lowest) / step) + 1)],
        interval=None if low is None and high is None else closed,
        readers=readers_mean(row, name),
        predicted=row.get(name),
        ends=ends if with_ends else None,
    )
