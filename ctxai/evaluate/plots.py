"""Figures of an evaluation: ROC curve, reliability diagram, predicted against rated biomarkers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ctxai.data.labels import BIOMARKERS
from ctxai.evaluate.predictions import CALIBRATION_BINS
from ctxai.files import atomic_path

_INK, _BLUE, _ORANGE, _GREEN = "#4d4d4d", "#1f5a99", "#c2571a", "#3a7d44"
_BASELINES = {
    "diameter": ("diameter alone", "diameter_mm", _ORANGE),
    "features": ("hand-made features", "features_score", _GREEN),
}


def write_plots(predictions: pd.DataFrame, metrics: dict[str, Any], folder: Path) -> list[Path]:
    """Write roc.png, reliability.png and biomarkers.png.

    Args:
        predictions: as `ctxai.evaluate.predictions.predict_rows` gives them.
        metrics: as `ctxai.evaluate.predictions.judge` gives them.
        folder: where to.

    Returns:
        the files.
    """
    figures = {
        "roc.png": roc_figure(predictions, metrics["malignancy"]),
        "reliability.png": reliability_figure(predictions, metrics["malignancy"]),
        "biomarkers.png": biomarker_figure(predictions, metrics["targets"]),
    }
    for name, figure in figures.items():
        with atomic_path(folder / name) as temporary:
            FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})
    return [folder / name for name in figures]


def roc_figure(predictions: pd.DataFrame, malignancy: dict[str, Any]) -> Figure:
    """ROC curves of the run and of its baselines, with their areas and intervals."""
    figure = Figure(figsize=(4.6, 4.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    decided = predictions[predictions["label_malignancy"].notna()]
    curves = [("auc", "this run", "malignancy_logit", _BLUE)]
    curves += [(f"{key}_auc", *rest) for key, rest in _BASELINES.items() if f"{key}_auc" in malignancy]
    for key, title, column, colour in curves:
        false, true, _ = roc_curve(decided["label_malignancy"].astype(int), decided[column])
        area = malignancy[key]
        axes.plot(
            false, true, color=colour, label=f"{title}: {area['value']:.3f} ({area['low']:.3f}–{area['high']:.3f})"
        )
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    _frame(axes, "1 − specificity", "sensitivity", "Malignant against benign, test fold")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.legend(loc="lower right", fontsize=8, title="area under the curve (95 %)", title_fontsize=8, frameon=False)
    return figure


def reliability_figure(predictions: pd.DataFrame, malignancy: dict[str, Any]) -> Figure:
    """Observed share of malignant nodules against the calibrated probability, with the count of each bin."""
    figure = Figure(figsize=(4.6, 5.2), dpi=150, layout="constrained")
    axes, counts = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    decided = predictions[predictions["label_malignancy"].notna()]
    probability, label = decided["malignancy_probability"].to_numpy(), decided["label_malignancy"].to_numpy()
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = np.clip(np.digitize(probability, edges) - 1, 0, CALIBRATION_BINS - 1)
    filled = np.unique(bins)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    axes.plot(
        [probability[bins == b].mean() for b in filled], [label[bins == b].mean() for b in filled], "o-", color=_BLUE
    )
    title = f"Brier {malignancy['brier']:.3f}, expected calibration error {malignancy['ece']:.3f}"
    _frame(axes, "", "share rated malignant", title)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    counts.bar(edges[:-1] + 0.05, np.bincount(bins, minlength=CALIBRATION_BINS), width=0.09, color=_BLUE)
    _frame(counts, "calibrated probability of malignancy", "nodules", "")
    return figure


def biomarker_figure(predictions: pd.DataFrame, targets: dict[str, Any]) -> Figure:
    """One panel per biomarker: the readers' mean against the prediction."""
    figure = Figure(figsize=(10, 5.2), dpi=130, layout="constrained")
    for axes, name in zip(figure.subplots(2, 4).flat, BIOMARKERS, strict=True):
        readers, predicted = predictions[f"{name}_readers"], predictions[name]
        ends = [float(np.nanmin([readers, predicted])), float(np.nanmax([readers, predicted]))]
        axes.plot(ends, ends, color=_INK, linewidth=0.8, linestyle=":")
        axes.scatter(readers, predicted, s=8, alpha=0.4, color=_BLUE, linewidths=0)
        figures = targets[name]
        rank = "–" if figures["spearman"] is None else f"{figures['spearman']:.2f}"
        unit = " (mm)" if name == "diameter" else ""
        _frame(axes, f"readers{unit}", f"predicted{unit}", f"{name}\nMAE {figures['mae']:.2f}, Spearman {rank}")
    return figure


def _frame(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
