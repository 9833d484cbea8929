"""Masses that the images cut off: how often a large nodule marked 10 mm aside is warned of, over five folds.

    python benchmarks/lidc2d_cut_off.py WORK_DIR

WORK_DIR is that of lidc2d_folds.py after `--models hybrid`: the run of each fold looks at its own test nodules of 20 mm
or more (three readers or more) from the mark and from one 10 mm aside in a random direction of the slice, re-centred as
`ctxai explain` does. `number` is the share with a reason not to use the number, `told` that with this or the note that
the nodule reaches the edge; roundness needs volumes and is left out. `crosses` is the share whose probability moves
over .5 from that of the mark in the middle, and `crosses_calmly` the share that does so without `told`. Intervals are
95 %, from a bootstrap over patients. Predictions of a finished fold are kept in WORK_DIR.

Writes results/lidc2d_cut_off.csv.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lidc2d_hybrid import Row, study

from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.report.trust import Level, warnings_of
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_cut_off.csv"
LARGE_MM, DISTANCES_MM, NEAR_MM = 20.0, (0, 10), 4.0


def main() -> None:
    """Predict what is missing, and write the table."""
    study(__doc__, RESULTS, "cut_off", predict_fold, figures)


def predict_fold(run: Run, store: NoduleStore, rows: np.ndarray, fold: int) -> pd.DataFrame:
    """Predictions and warnings of the large ones of some rows, in directions drawn for the fold."""
    rows = rows[store.table["diameter_mm"].to_numpy()[rows] >= LARGE_MM]
    hu = Patches(store, rows, beyond=run.views.beyond)[rows]
    angles = np.random.default_rng(fold).uniform(0, 2 * np.pi, len(rows))
    known = store.table.iloc[rows][["nodule_id", "patient_id"]].reset_index(drop=True)
    tables = []
    for distance in DISTANCES_MM:
        mark = torch.from_numpy(distance * np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1)).float()
        place = mark + run.recentre(hu, mark)
        found = run.predict(hu, place)[["malignancy_probability", "diameter", "novelty_percentile"]]
        found = found.assign(**seen(run, hu, mark, place))
        warned = [warnings_of(row) for row in found.to_dict("records")]
        number = [any(one.level == Level.NUMBER for one in some) for some in warned]
        told = [bool(some) for some in warned]
        tables.append(pd.concat([known, found], axis=1).assign(mark_mm=distance, number=number, told=told))
    return pd.concat(tables, ignore_index=True).round(5)


def seen(run: Run, hu: torch.Tensor, mark: torch.Tensor, place: torch.Tensor) -> dict[str, np.ndarray]:
    """Columns of `check_mark` that need no volume, of nodules on one axial slice."""
    at_mark, about = (run.outlines(hu, where)[:, 0].numpy() for where in (mark, place))
    side = at_mark.shape[-1]
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    near = np.hypot(rows, columns) * run.views.field_of_view_mm / side < NEAR_MM
    border = np.ones((side, side), bool)
    border[1:-1, 1:-1] = False
    return {"nodule_at_mark": at_mark[:, near].max(1), "outline_at_border": about[:, border].max(1)}


def figures(table: pd.DataFrame) -> list[Row]:
    """All rows of the results."""
    middle = table[table["mark_mm"] == 0].set_index("nodule_id")["malignancy_probability"] >= 0.5
    rows: list[Row] = []
    for distance, chosen in table.groupby("mark_mm"):
        crosses = (chosen["malignancy_probability"] >= 0.5).to_numpy() != middle.loc[chosen["nodule_id"]].to_numpy()
        told = chosen["told"].to_numpy(bool)
        values = {"number": chosen["number"].to_numpy(bool), "told": told}
        if distance:
            values |= {"crosses": crosses, "crosses_calmly": crosses & ~told}
        patients = chosen["patient_id"].to_numpy()
        counts = {"nodules": len(chosen), "patients": len(set(patients))}
        for name, value in values.items():
            found = bootstrap_patients(lambda drawn, v=value: {"x": float(v[drawn].mean())}, patients)
            rows.append({"mark_mm": distance, "figure": name} | counts | found["x"])
    return rows


if __name__ == "__main__":
    main()
