"""What an inexact mark changes in predictions and outlines of the shipped recipe, over five folds.

    python benchmarks/lidc2d_marks.py WORK_DIR

WORK_DIR is that of lidc2d_folds.py after `--models hybrid`: the run of each fold predicts its own test nodules (three
readers or more) from the mark and from one 3 and one 5 mm aside in random directions of the slice, moved to the
middle of the outline that it sees as `ctxai explain` does (`recentred`), and on the mark (`kept`). Changes are those
from the mark in the middle: `rating_median` and `rating_p95` of the absolute change of the malignancy rating, and
`crosses`, the share whose probability moves over .5. `dice` is the mean overlap of the run's outline and that of half
of the readers or more at .5 mm; what lies outside of the image counts as missed. Intervals are 95 %, from a bootstrap
over patients. Predictions of a finished fold are kept in WORK_DIR.

Writes results/lidc2d_marks.csv.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lidc2d_hybrid import SIZES, Row, study
from own_outline import own_masks, readers_masks

from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_marks.csv"
DISTANCES_MM, BLOCK = (3, 5), 64

Statistics = Callable[[np.ndarray], dict[str, float]]


def main() -> None:
    """Predict what is missing, and write the table."""
    study(__doc__, RESULTS, "marks", predict_fold, figures)


def predict_fold(run: Run, store: NoduleStore, rows: np.ndarray, fold: int) -> pd.DataFrame:
    """Predictions of some rows from all marks, in directions drawn for the fold."""
    generator = np.random.default_rng(fold)
    parts = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    found = pd.concat([from_marks(run, store, part, generator) for part in parts], ignore_index=True)
    return found.round(5)


def from_marks(run: Run, store: NoduleStore, rows: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """Rating, probability and Dice of nodules, a row for each mark, recentred or kept."""
    hu = Patches(store, rows, beyond=run.views.beyond)[rows]
    known = store.table.iloc[rows][["nodule_id", "patient_id", "diameter_mm"]].reset_index(drop=True)
    tables = []
    for distance in (0, *DISTANCES_MM):
        angles = generator.uniform(0, 2 * np.pi, len(rows))
        marks = distance * np.stack([np.zeros(len(rows)), np.sin(angles), np.cos(angles)], axis=1)
        mark = torch.from_numpy(marks).float()
        for name, places in (("recentred", mark + run.recentre(hu, mark)), ("kept", mark)):
            found = run.predict(hu, places)[["malignancy", "malignancy_probability"]]
            columns = {"mark_mm": distance, "images": name, "dice": dice(run, store, rows, hu, places)}
            tables.append(pd.concat([known, found], axis=1).assign(**columns))
    return pd.concat(tables, ignore_index=True)


def dice(run: Run, store: NoduleStore, rows: np.ndarray, hu: torch.Tensor, places: torch.Tensor) -> np.ndarray:
    """Dice coefficient (nodule,) of the run's outlines with the readers', in a field of twice the images' side."""
    views = run.views
    wide = replace(views, field_of_view_mm=2 * views.field_of_view_mm, pixels=2 * views.pixels)
    readers = readers_masks(store, rows, wide, places).numpy()
    margin = views.pixels // 2
    own = np.pad(own_masks(run, hu, places), ((0, 0), (margin, margin), (margin, margin)))
    return 2 * (own & readers).sum((1, 2)) / (own.sum((1, 2)) + readers.sum((1, 2)))


def figures(table: pd.DataFrame) -> list[Row]:
    """All rows of the results."""
    rows: list[Row] = []
    for images, chosen in table.groupby("images", sort=False):
        middle = chosen[chosen["mark_mm"] == 0]
        for low, high in ((0.0, np.inf), *SIZES):
            part = middle[middle["diameter_mm"].between(low, high, inclusive="left")]
            group = "all" if high == np.inf else f"{low:g} to {high:g} mm"
            if len(part):
                rows += _rows(str(images), 0, group, part, partial(_mean_dice, part["dice"].to_numpy()))
        for distance in DISTANCES_MM:
            aside = chosen[chosen["mark_mm"] == distance].merge(middle, on="nodule_id", suffixes=("", "_middle"))
            rows += _rows(str(images), distance, "all", aside, partial(_mean_dice, aside["dice"].to_numpy()))
            rows += _rows(str(images), distance, "all", aside, partial(_changes, aside))
    return rows


def _rows(images: str, distance: int, group: str, table: pd.DataFrame, statistics: Statistics) -> list[Row]:
    """Statistics of rows of nodules with their intervals."""
    patients = table["patient_id"].to_numpy()
    counts = {"nodules": table["nodule_id"].nunique(), "patients": len(set(patients))}
    found = bootstrap_patients(statistics, patients)
    names = {"images": images, "mark_mm": distance, "group": group}
    return [names | {"figure": figure} | counts | values for figure, values in found.items()]


def _mean_dice(values: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    return {"dice": float(values[drawn].mean())}


def _changes(table: pd.DataFrame, drawn: np.ndarray) -> dict[str, float]:
    change = (table["malignancy"] - table["malignancy_middle"]).abs().to_numpy()[drawn]
    names = ("malignancy_probability", "malignancy_probability_middle")
    above, before = (table[name].to_numpy()[drawn] >= 0.5 for name in names)
    return {
        "rating_median": float(np.median(change)),
        "rating_p95": float(np.percentile(change, 95)),
        "crosses": float((above != before).mean()),
    }


if __name__ == "__main__":
    main()
