"""Calibration, coverage and error of the diameter of the shipped recipe over five folds.

    python benchmarks/lidc2d_hybrid.py WORK_DIR

WORK_DIR is that of lidc2d_folds.py after `--models hybrid`: the run of each fold predicts its own test nodules (three
readers or more) as `ctxai evaluate` does, moved to the middle of the outline that it sees, and all folds are pooled.
Bias is predicted minus outlined diameter. Intervals are 95 %, from a bootstrap over patients. Predictions of a finished
fold are kept in WORK_DIR.

Writes results/lidc2d_hybrid.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ctxai.data.labels import TARGETS
from ctxai.data.store import NoduleStore
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.evaluate.predictions.evaluation import evaluate_predictions, predict_rows
from ctxai.files import write_text
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_hybrid.csv"
SIZES = ((0.0, 10.0), (10.0, 15.0), (15.0, 25.0), (25.0, 100.0))
FOLDS = 5

Row = dict[str, object]
PredictFold = Callable[[Run, NoduleStore, np.ndarray, int], pd.DataFrame]


def main() -> None:
    """Measure what is missing, and write the table."""
    study(__doc__, RESULTS, "predictions", predict_fold, figures)


def study(
    description: str | None,
    results: Path,
    name: str,
    predict: PredictFold,
    figures: Callable[[pd.DataFrame], list[Row]],
) -> None:
    """Command line of a study over the folds: keep their predictions, and write a table of figures.

    Args:
        description: help text of the script.
        results: CSV of the figures.
        name, predict: as :func:`kept_predictions`.
        figures: rows of the table, from the predictions of all folds.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report(results, figures(kept_predictions(given.work, name, predict)))


def predict_fold(run: Run, store: NoduleStore, rows: np.ndarray, _fold: int) -> pd.DataFrame:
    """Predictions of some rows, as `ctxai evaluate` makes them."""
    return predict_rows(run, store, rows)


def kept_predictions(work: Path, name: str, predict: PredictFold) -> pd.DataFrame:
    """Predictions of all folds' test nodules, read where they are there already.

    Args:
        work: folder of the runs and of the tables that are kept.
        name: of the tables.
        predict: makes those of a fold, of its run, the store, the rows of its test nodules and its number.
    """
    store, tables = NoduleStore(work / "store"), []
    for fold in range(FOLDS):
        file = work / "hybrid_tables" / f"{name}_fold{fold}.csv"
        if not file.is_file():
            run = Run.load(work / "hybrid" / f"fold{fold}")
            ids = set(run.provenance["nodules"]["test"])
            rows = np.flatnonzero(store.table["nodule_id"].astype(str).isin(ids))
            write_text(file, predict(run, store, rows, fold).to_csv(index=False))
        tables.append(pd.read_csv(file))
    return pd.concat(tables, ignore_index=True)


def report(file: Path, rows: list[Row]) -> None:
    """Write a table of figures, and print it."""
    results = pd.DataFrame(rows).round(4)
    write_text(file, results.to_csv(index=False, lineterminator="\n"))
    print(results.to_string(index=False))


def figures(table: pd.DataFrame) -> list[Row]:
    """All rows of the results."""
    rows = calibration(table)
    error = (table["diameter"] - table["diameter_mm"]).to_numpy()
    values = {"diameter_mae_mm": np.abs(error), "diameter_bias_mm": error}
    for low, high in ((0.0, np.inf), *SIZES):
        chosen = table["diameter_mm"].between(low, high, inclusive="left").to_numpy()
        group = "all" if high == np.inf else f"{low:g} to {high:g} mm"
        for name, value in values.items():
            rows.append(mean_figure(table[chosen], name, group, value[chosen]))
    return rows


def calibration(table: pd.DataFrame) -> list[Row]:
    """Calibration of the class and coverage of the intervals, as `ctxai evaluate` measures them."""
    evaluated = evaluate_predictions(table)
    counts = {key: evaluated["malignancy"][key] for key in ("nodules", "patients")}
    rows: list[Row] = [
        {"figure": name, "group": "malignancy"} | counts | evaluated["malignancy"][name]
        for name in ("auc", "accuracy", "brier", "ece")
    ]
    everyone = table["patient_id"].nunique()
    for target in TARGETS:
        found = evaluated["targets"][target]
        rows += [
            {"figure": name, "group": target, "nodules": found["nodules"], "patients": everyone} | found[name]
            for name in ("coverage", "mae", "spearman")
        ]
    return rows


def mean_figure(table: pd.DataFrame, name: str, group: str, values: np.ndarray) -> Row:
    """Mean of values (nodule,) with its interval."""
    patients = table["patient_id"].to_numpy()
    found = bootstrap_patients(lambda rows: {name: float(values[rows].mean())}, patients)
    return {"figure": name, "group": group, "nodules": len(table), "patients": len(set(patients))} | found[name]


if __name__ == "__main__":
    main()
