"""Figures of an evaluation: ROC and precision-recall curves, reliability, predicted against rated biomarkers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ctxai.data.labels import BIOMARKERS
from ctxai.disclaimer import PNG_TEXTS
from ctxai.evaluate.predictions.evaluation import CALIBRATIONS, baseline_columns
from ctxai.evaluate.predictions.inter_reader import rated_targets
from ctxai.evaluate.predictions.scores import CALIBRATION_BINS
from ctxai.files import atomic_path
from ctxai.run.model_card import BASELINE_TITLES

_INK, _BLUE = "#4d4d4d", "#1f5a99"
_OTHERS = ("#c2571a", "#3a7d44", "#8a4fa3", "#8c6d31", "#17818f")
CALIBRATION_TITLES = {
    "none": "none",
    "temperature": "temperature",
    "platt": "Platt (the run's own)",
    "isotonic": "isotonic",
}


def write_plots(predictions: pd.DataFrame, metrics: dict[str, Any], folder: Path) -> list[Path]:
    """Write roc.png, precision_recall.png, reliability.png and biomarkers.png, those that the run has outputs for.

    Args:
        predictions: the table that `ctxai evaluate` writes.
        metrics: as `ctxai.evaluate.predictions.evaluation.evaluate_predictions` gives them.
        folder: where to.

    Returns:
        the files.
    """
    figures: dict[str, Figure] = {}
    if "malignancy" in metrics:
        figures |= {
            "roc.png": roc_figure(predictions, metrics["malignancy"]),
            "precision_recall.png": precision_recall_figure(predictions, metrics["malignancy"]),
            "reliability.png": reliability_figure(predictions, metrics["malignancy"]),
        }
    if set(BIOMARKERS) & set(metrics["targets"]):
        figures["biomarkers.png"] = biomarker_figure(predictions, metrics["targets"])
    for name, figure in figures.items():
        with atomic_path(folder / name) as temporary:
            FigureCanvasAgg(figure).print_png(temporary, metadata=PNG_TEXTS)
    return [folder / name for name in figures]


def roc_figure(predictions: pd.DataFrame, malignancy: dict[str, Any]) -> Figure:
    """ROC curves of the run and of its baselines, with their areas and intervals."""
    figure = Figure(figsize=(4.6, 5.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    decided = predictions[predictions["label_malignancy"].notna()]
    curves = [("auc", "this run", "malignancy_logit", _BLUE)]
    for (name, column), colour in zip(baseline_columns(decided).items(), _OTHERS, strict=False):
        curves.append((f"{name}_auc", BASELINE_TITLES.get(name, name), column, colour))
    for key, title, column, colour in curves:
        false, true, _ = roc_curve(decided["label_malignancy"].astype(int), decided[column])
        axes.plot(false, true, color=colour, label=_with_interval(title, malignancy[key]))
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    _frame(axes, "1 − specificity", "sensitivity", "Malignant against benign, test fold")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _legend_below(figure)
    return figure


def precision_recall_figure(predictions: pd.DataFrame, malignancy: dict[str, Any]) -> Figure:
    """Precision against recall of the run; the dotted line is the share of malignant nodules."""
    figure = Figure(figsize=(4.6, 5.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    decided = predictions[predictions["label_malignancy"].notna()]
    label = decided["label_malignancy"].astype(int)
    precision, recall, _ = precision_recall_curve(label, decided["malignancy_logit"])
    axes.plot(recall, precision, color=_BLUE, label=_with_interval("this run", malignancy["pr_auc"]))
    axes.axhline(label.mean(), color=_INK, linewidth=0.8, linestyle=":", label=f"chance: {label.mean():.3f}")
    _frame(axes, "sensitivity (recall)", "positive predictive value (precision)", "Malignant against benign, test fold")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _legend_below(figure)
    return figure


def reliability_figure(predictions: pd.DataFrame, malignancy: dict[str, Any]) -> Figure:
    """Observed share of malignant nodules against the calibrated probability, with the count of each bin."""
    figure = Figure(figsize=(4.6, 5.2), dpi=150, layout="constrained")
    axes, counts = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    decided = predictions[predictions["label_malignancy"].notna()]
    label = decided["label_malignancy"].to_numpy()
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    own = decided[CALIBRATIONS["platt"]].to_numpy()
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    colours = {
        name: colour for name, colour in zip(CALIBRATIONS, (_OTHERS[0], _OTHERS[1], _BLUE, _OTHERS[2]), strict=True)
    }
    for name, column in CALIBRATIONS.items():
        if column in decided:
            probability = decided[column].to_numpy()
            bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
            points = [(probability[bins == b].mean(), label[bins == b].mean()) for b in np.unique(bins)]
            style = {"linewidth": 1.8, "zorder": 3} if name == "platt" else {"linewidth": 0.9, "alpha": 0.7}
            axes.plot(
                *zip(*points, strict=True),
                "o-",
                markersize=4,
                color=colours[name],
                label=CALIBRATION_TITLES[name],
                **style,
            )
    title = f"Brier {malignancy['brier']['value']:.3f}, expected calibration error {malignancy['ece']['value']:.3f}"
    _frame(axes, "", "share rated malignant", title)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="upper left", fontsize=8, title="calibration", title_fontsize=8, frameon=False)
    bins = np.minimum((own * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts.bar(edges[:-1] + 0.05, np.bincount(bins, minlength=CALIBRATION_BINS), width=0.09, color=_BLUE)
    _frame(counts, "calibrated probability of malignancy", "nodules", "")
    return figure


def biomarker_figure(predictions: pd.DataFrame, targets: dict[str, Any]) -> Figure:
    """One panel per biomarker: the readers' mean against the prediction."""
    figure = Figure(figsize=(10, 5.2), dpi=130, layout="constrained")
    panels = figure.subplots(2, 4).flat
    for axes, name in zip(panels, [n for n in BIOMARKERS if n in rated_targets(predictions)], strict=False):
        readers, predicted = predictions[f"{name}_readers"], predictions[name]
        ends = [float(np.nanmin([readers, predicted])), float(np.nanmax([readers, predicted]))]
        axes.plot(ends, ends, color=_INK, linewidth=0.8, linestyle=":")
        axes.scatter(readers, predicted, s=8, alpha=0.4, color=_BLUE, linewidths=0)
        mae, rank = (targets[name][key]["value"] for key in ("mae", "spearman"))
        unit = " (mm)" if name == "diameter" else ""
        title = f"{name}\nMAE {_number(mae)}, Spearman {_number(rank)}"
        _frame(axes, f"readers{unit}", f"predicted{unit}", title)
    for axes in figure.axes:
        axes.set_visible(bool(axes.get_title()))
    return figure


def _legend_below(figure: Figure) -> None:
    title = "area under the curve (95 %)"
    figure.legend(loc="outside lower center", fontsize=8, title=title, title_fontsize=8, frameon=False)


def _with_interval(title: str, area: dict[str, float]) -> str:
    return f"{title}: {area['value']:.3f} ({area['low']:.3f}–{area['high']:.3f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _frame(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
