"""Masses that the images cut off: how often a large nodule marked 10 mm aside is warned of, over five folds.

    python benchmarks/lidc2d_cut_off.py WORK_DIR

WORK_DIR is that of lidc2d_folds.py after `--models hybrid`: the run of each fold looks at its own test nodules (three
readers or more) from the mark and from one aside in a random direction of the slice, re-centred as `ctxai explain`
does: those of 20 mm or more 10 mm aside, and 60 smaller ones (at random) 3 and 5 mm aside. `number` is the share with
a reason not to use the number, `off_centre` that with the one that the nodule does not lie in the middle, `told` that
with any or the note that the nodule reaches the edge; roundness needs volumes and is left out. `crosses` is the share
whose probability moves over .5 from that of the mark in the middle, and `crosses_calmly` the share that does so without
`told`. Intervals are 95 %, from a bootstrap over patients. The same of the run's calibration nodules, on which the
threshold was chosen, is named so. Predictions of a finished fold are kept in WORK_DIR.

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
from ctxai.inference.mark_check import check_outlines
from ctxai.report.trust import Level, is_off_centre, warnings_of
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_cut_off.csv"
LARGE_MM, SMALLER_ONES = 20.0, 60
MARKS_MM = {"20 mm and more": (0, 10), "below 20 mm": (0, 3, 5)}


def main() -> None:
    """Predict what is missing, and write the table."""
    study(__doc__, RESULTS, "cut_off", predict_fold, figures)


def predict_fold(run: Run, store: NoduleStore, rows: np.ndarray, fold: int) -> pd.DataFrame:
    """Predictions and checks of some rows and of the run's calibration nodules, in directions drawn for the fold."""
    calibration = np.flatnonzero(store.table["nodule_id"].astype(str).isin(run.provenance["nodules"]["validation"]))
    tables = []
    for split, chosen in (("test", rows), ("calibration", calibration)):
        generator = np.random.default_rng(fold)
        large = store.table["diameter_mm"].to_numpy()[chosen] >= LARGE_MM
        smaller = generator.spawn(1)[0].permutation(chosen[~large])[:SMALLER_ONES]
        for group, part in (("20 mm and more", chosen[large]), ("below 20 mm", np.sort(smaller))):
            tables.append(from_marks(run, store, part, MARKS_MM[group], generator).assign(split=split, group=group))
    return pd.concat(tables, ignore_index=True).round(5)


def from_marks(
    run: Run, store: NoduleStore, rows: np.ndarray, distances: tuple[int, ...], generator: np.random.Generator
) -> pd.DataFrame:
    """Predictions and checks of nodules, a row for each mark."""
    hu = Patches(store, rows, beyond=run.views.beyond)[rows]
    angles = generator.uniform(0, 2 * np.pi, len(rows))
    known = store.table.iloc[rows][["nodule_id", "patient_id"]].reset_index(drop=True)
    tables = []
    for distance in distances:
        mark = torch.from_numpy(distance * np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1)).float()
        place = mark + run.recentre(hu, mark)
        found = run.predict(hu, place)[["malignancy_probability", "diameter", "novelty_percentile"]]
        outlines = (run.outlines(hu, where).numpy() for where in (mark, place))
        checks = [check_outlines(run.views, *both) for both in zip(*outlines, strict=True)]
        columns = [known, found, pd.DataFrame(checks)]
        tables.append(pd.concat(columns, axis=1).assign(mark_mm=distance, moved_mm=(place - mark).norm(dim=1).numpy()))
    return pd.concat(tables, ignore_index=True)


def figures(table: pd.DataFrame) -> list[Row]:
    """All rows of the results."""
    warned = [warnings_of(row) for row in table.to_dict("records")]
    table = table.assign(
        number=[any(one.level == Level.NUMBER for one in some) for some in warned],
        off_centre=[is_off_centre(row) for row in table.to_dict("records")],
        told=[bool(some) for some in warned],
        malignant=table["malignancy_probability"] >= 0.5,
    )
    rows: list[Row] = []
    for (split, group), part in table.groupby(["split", "group"], sort=False):
        middle = part[part["mark_mm"] == 0].set_index("nodule_id")["malignant"]
        for distance, chosen in part.groupby("mark_mm"):
            values = {name: chosen[name].to_numpy(bool) for name in ("number", "off_centre", "told")}
            if distance:
                crosses = chosen["malignant"].to_numpy() != middle.loc[chosen["nodule_id"]].to_numpy()
                values |= {"crosses": crosses, "crosses_calmly": crosses & ~values["told"]}
            patients = chosen["patient_id"].to_numpy()
            counts = {"nodules": len(chosen), "patients": len(set(patients))}
            names = {"nodules_of": split, "size": group, "mark_mm": distance}
            for name, value in values.items():
                found = bootstrap_patients(lambda drawn, v=value: {"x": float(v[drawn].mean())}, patients)
                rows.append(names | {"figure": name} | counts | found["x"])
    return rows


if __name__ == "__main__":
    main()
