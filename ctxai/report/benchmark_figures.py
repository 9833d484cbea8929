"""Pictures of a benchmark: faithfulness against cost, and maps of every method on some nodules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctxai.disclaimer import PNG_TEXTS
from ctxai.evaluate.explanations.comparison import CONTROLS, order_methods
from ctxai.files import atomic_path
from ctxai.report.tiles import plane_picture

_INK, _BLUE, _GREY = "#333333", "#1f5a99", "#999999"
_STYLE: dict[Any, Any] = {"font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False}


def write_pareto(path: Path, table: pd.DataFrame, target: str, metric: str) -> None:
    """Every method's ``metric`` for ``target`` against its cost in forward passes, on a logarithmic axis."""
    rows = table[(table["target"] == target) & (table["metric"] == metric)].sort_values("forward_passes")
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 5.2), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        axes.axhline(0, color=_GREY, linewidth=0.8, linestyle=":")
        for row in rows.to_dict("records"):
            colour = _GREY if row["method"] in CONTROLS else _BLUE
            cost = max(row["forward_passes"], 0.1)
            axes.plot([cost, cost], [row["low"], row["high"]], color=colour, linewidth=0.8, alpha=0.6)
            axes.plot(cost, row["value"], "o", color=colour, markersize=5)
            axes.annotate(
                row["method"], (cost, row["value"]), xytext=(5, 3), textcoords="offset points", fontsize=7, color=_INK
            )
        front = pareto_front(rows[~rows["method"].isin(CONTROLS)])
        axes.plot(front["forward_passes"].clip(lower=0.1), front["value"], color=_BLUE, linewidth=1, alpha=0.5)
        axes.set_xscale("log")
        axes.set_xlabel("cost of one map, in forward passes of the model")
        axes.set_ylabel(f"{metric}, {target}")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=130, metadata=PNG_TEXTS)


def pareto_front(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that no cheaper or equally cheap one beats, by rising cost."""
    rows = rows.sort_values(["forward_passes", "value"], ascending=[True, False])
    return rows[rows["value"] > rows["value"].cummax().shift(fill_value=-np.inf)]


def write_examples(
    path: Path, hu: np.ndarray, outlines: np.ndarray, maps: Mapping[str, np.ndarray], titles: list[str]
) -> None:
    """A page of maps.

    Args:
        path: PNG to write.
        hu: images (nodule, H, W), Hounsfield units.
        outlines: what is drawn round, (nodule, H, W) bool.
        maps: by method, (nodule, H, W).
        titles: of the nodules.
    """
    names = order_methods(list(maps))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(1.05 * (len(names) + 1), 1.18 * len(hu)), facecolor="white")
        grid = figure.subplots(len(hu), len(names) + 1, squeeze=False)
        for nodule, line in enumerate(grid):
            pictures = [np.zeros_like(hu[nodule], dtype=float), *(maps[name][nodule] for name in names)]
            for place, (axes, values) in enumerate(zip(line, pictures, strict=True)):
                axes.imshow(plane_picture(hu[nodule], values, outlines[nodule]))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if nodule == 0:
                    name = names[place - 1].replace("_", "\n") if place else "CT"
                    axes.set_title(name, fontsize=6.5, color=_INK)
            line[0].set_ylabel(titles[nodule], fontsize=6.5, color=_INK)
        figure.subplots_adjust(0.02, 0.01, 0.998, 1 - 0.5 / figure.get_figheight(), 0.04, 0.04)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=130, metadata=PNG_TEXTS)
