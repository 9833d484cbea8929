"""The nodules that a run gets most wrong, as pictures: what a figure hides is seen here first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ctxai.data.patches import read_patch
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.views import PATCH_SPACING_MM
from ctxai.disclaimer import PNG_TEXTS
from ctxai.files import atomic_path

SHOWN = 16
_COLUMNS = 8
_WINDOW_HU = (-1200, 400)


def worst_rows(predictions: pd.DataFrame, count: int = SHOWN) -> np.ndarray:
    """Places in the table of the nodules with the largest errors of the malignancy rating, worst first."""
    columns = [str(column) for column in predictions]
    name = "malignancy" if "malignancy" in columns else next(c[:-4] for c in columns if c.endswith("_low"))
    error = (predictions[name] - predictions[f"{name}_readers"]).abs().fillna(-1).to_numpy(float)
    worst = np.argsort(-error, kind="stable")[:count]
    return worst[error[worst] >= 0]


def worst_cases_figure(
    predictions: pd.DataFrame, store: NoduleStore, rows: np.ndarray, views: ViewConfig, count: int = SHOWN
) -> Figure:
    """Axial slices through the centres of the worst predicted nodules, with the readers' ratings above.

    Args:
        predictions: as `ctxai.evaluate.predictions.evaluation.predict_rows` gives them.
        store: where the images are.
        rows: the store's row of each line of the table.
        views: of the run, whose field of view is framed.
        count: nodules to show.
    """
    chosen = worst_rows(predictions, count)
    lines = max(-(-len(chosen) // _COLUMNS), 1)
    figure = Figure(figsize=(12, 2.15 * lines), dpi=110, layout="constrained", facecolor="white")
    for axes, place in zip(figure.subplots(lines, _COLUMNS, squeeze=False).flat, chosen, strict=False):
        patch = read_patch(store, int(rows[place]))
        middle = len(patch) // 2
        height, width = patch.shape[1:]
        half = np.array([width, height]) * PATCH_SPACING_MM / 2
        extent = (-half[0], half[0], half[1], -half[1])
        axes.imshow(patch[middle], cmap="gray", vmin=_WINDOW_HU[0], vmax=_WINDOW_HU[1], extent=extent)
        inside = store.agreement(int(rows[place]))[middle] > 0
        if inside.any() and not inside.all():
            axes.contour(inside.astype(float), [0.5], colors="#45d17a", linewidths=0.6, extent=extent, origin="upper")
        side = views.field_of_view_mm / 2
        axes.set(xlim=(-side, side), ylim=(side, -side))
        axes.set_title(_title(predictions.iloc[place]), fontsize=7)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def write_worst_cases(
    path: Path, predictions: pd.DataFrame, store: NoduleStore, rows: np.ndarray, views: ViewConfig
) -> None:
    """Write :func:`worst_cases_figure` as PNG."""
    with atomic_path(path) as temporary:
        figure = worst_cases_figure(predictions, store, rows, views)
        FigureCanvasAgg(figure).print_png(temporary, metadata=PNG_TEXTS)


def _title(nodule: pd.Series) -> str:
    size = "" if np.isnan(nodule["diameter_mm"]) else f", {nodule['diameter_mm']:.0f} mm"
    if "malignancy" not in nodule:
        return f"{nodule['nodule_id']}{size}"
    given = nodule.get("malignancy_ratings")
    readers = f"{nodule['malignancy_readers']:.1f}" if pd.isna(given) else str(given).replace("|", " ")
    return f"{nodule['nodule_id']}{size}\nreaders {readers}\npredicted {nodule['malignancy']:.1f}"
