"""Page of an ingestion: cohort, faults and repairs, ratings, agreement of the readers, sample patches."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctxai.data.store import NoduleStore
from ctxai.files import write_text
from ctxai.report.page import render_page

_WINDOW_HU = (-1200, 400)
_NAMED_PATIENTS = 6
_COLUMNS = 6
_STYLE: dict[Any, Any] = {"font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False}


def write_ingestion_report(
    path: Path, store: NoduleStore, report: pd.DataFrame, flow: Sequence[tuple[str, int]], samples: int = 24
) -> None:
    """Write the page; self-contained, no server.

    Args:
        path: HTML file to write.
        store: a finished store.
        report: lines of report.csv.
        flow: steps of the cohort, each with what is counted and how many there are.
        samples: how many patches are shown.
    """
    table = store.table
    usable = table[table.fault == ""]
    shares = [
        _share_agreed(store, int(row), int(n)) for row, n in zip(usable.index, usable.n_readers, strict=True) if n > 1
    ]
    with matplotlib.rc_context(_STYLE):
        page = render_page(
            "ingestion.html",
            style="tables.css",
            name=store.path.name,
            flow=flow,
            issues=_issues(report),
            ratings=_png(_ratings_figure(usable)),
            agreement=_png(_agreement_figure(usable, shares)),
            sample=_png(_sample_figure(store, usable, samples)),
        )
    write_text(path, page)


def _issues(report: pd.DataFrame) -> list[dict[str, object]]:
    """Lines of report.csv counted by name and action, with the first patients."""
    issues = []
    for (name, action), group in report.groupby(["name", "action"], sort=True):
        patients = sorted(set(group.patient_id) - {""})
        more = len(patients) - _NAMED_PATIENTS
        named = ", ".join(patients[:_NAMED_PATIENTS]) + (f" and {more} more" if more > 0 else "")
        issues.append({"name": name, "action": action, "lines": len(group), "patients": named})
    return issues


def _ratings_figure(usable: pd.DataFrame) -> Figure:
    names = [name.removesuffix("_ratings") for name in usable.columns if name.endswith("_ratings")]
    figure = Figure(figsize=(10, 5.2), layout="constrained", facecolor="white")
    for axes, name in zip(figure.subplots(-(-len(names) // 5), 5, squeeze=False).flat, names, strict=False):
        values = [float(v) for text in usable[f"{name}_ratings"] for v in str(text).split("|") if v]
        levels = np.arange(1, 7 if name == "calcification" else 6)
        axes.bar(levels, [values.count(float(level)) for level in levels], color="#3b6ea5")
        axes.set_title(name, fontsize=10)
        axes.set_xticks(levels)
        axes.tick_params(labelsize=8)
    for axes in figure.axes[len(names) :]:
        axes.axis("off")
    return figure


def _agreement_figure(usable: pd.DataFrame, shares: Sequence[float]) -> Figure:
    figure = Figure(figsize=(10, 2.8), layout="constrained", facecolor="white")
    readers, spread, overlap = figure.subplots(1, 3)
    counts = usable.n_readers.value_counts().sort_index()
    readers.bar(counts.index.astype(str), counts, color="#3b6ea5")
    readers.set_title("readers", fontsize=10)
    spread.hist(usable.malignancy_sd.dropna(), bins=np.arange(0, 2.2, 0.2), color="#3b6ea5")
    spread.set_title("standard deviation of the malignancy ratings", fontsize=10)
    overlap.hist(shares, bins=np.linspace(0, 1, 21), color="#3b6ea5")
    overlap.set_title("voxels of half the readers / of any reader", fontsize=10)
    for axes in (readers, spread, overlap):
        axes.tick_params(labelsize=8)
        axes.set_ylabel("nodules", fontsize=9)
    return figure


def _sample_figure(store: NoduleStore, usable: pd.DataFrame, samples: int) -> Figure:
    chosen = usable.iloc[np.unique(np.linspace(0, len(usable) - 1, min(samples, len(usable))).round().astype(int))]
    lines = max(-(-len(chosen) // _COLUMNS), 1)
    figure = Figure(figsize=(10, 0.2 + 1.95 * lines), layout="constrained", facecolor="white")
    for axes, (label, nodule) in zip(
        figure.subplots(lines, _COLUMNS, squeeze=False).flat, chosen.iterrows(), strict=False
    ):
        row = int(str(label))
        middle = store.patch_shape[0] // 2
        axes.imshow(store.hu(row)[middle], cmap="gray", vmin=_WINDOW_HU[0], vmax=_WINDOW_HU[1])
        agreement = store.agreement(row)[middle]
        for level, colour in ((1, "#ffd23f"), (nodule.n_readers / 2, "#45d17a"), (nodule.n_readers, "#ff5a4d")):
            inside = agreement >= max(level, 1)
            if inside.any() and not inside.all():
                axes.contour(inside.astype(float), levels=[0.5], colors=colour, linewidths=0.7)
        malignancy = "" if np.isnan(nodule.malignancy_mean) else f"\nmalignancy {nodule.malignancy_mean:.1f}"
        axes.set_title(f"{nodule.nodule_id}{malignancy}", fontsize=7)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def _share_agreed(store: NoduleStore, row: int, readers: int) -> float:
    """Voxels that at least half of the readers include, as a share of those that any of them includes."""
    agreement = store.agreement(row)
    return float((agreement >= readers / 2).sum() / max((agreement > 0).sum(), 1))


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()
