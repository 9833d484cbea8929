"""``ctxai evaluate``: judge a run on its test fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from ctxai.data.labels import split_rows
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError
from ctxai.evaluate.plots import write_plots
from ctxai.evaluate.predictions import features_scores, judge, predict_rows
from ctxai.models.run import Run


def evaluate(run_dir: Path, store_dir: Path, *, features: Path | None = None, seed: int = 0) -> None:
    """Judge a run on its test fold, with intervals.

    Writes metrics.json, predictions.csv, plots and the model card of the run folder, and prints the figures. The
    figures follow from predictions.csv alone. Intervals are 95 %, from a bootstrap over patients.

    Args:
        run_dir: run folder.
        store_dir: the store the run was trained on.
        features: CSV of hand-made features (`nodule_id` and numbers) for a logistic regression to compare with.
        seed: of the bootstrap.
    """
    run = Run.load(run_dir)
    store = NoduleStore(store_dir)
    table = store.table
    split = split_rows(table, run.config.folds)
    seen = sorted({p for p in table["patient_id"].iloc[split.test] if run.in_sample(p)})
    if seen:
        raise InputError(
            f"{store_dir}: {len(seen)} patients of its test fold were trained or calibrated on (first {seen[0]}); "
            "evaluate with the store the run was trained on"
        )
    predictions = predict_rows(run, store, split.test)
    if features is not None:
        if not features.is_file():
            raise InputError(f"{features}: no such file of features")
        scores = features_scores(pd.read_csv(features), table, split.training, split.test)
        predictions["features_score"] = scores.round(6)
    metrics = judge(predictions, seed)
    write_plots(predictions, metrics, run_dir / "plots")
    run.record({"test": metrics}, predictions)
    _print(run, metrics)


def _print(run: Run, metrics: dict[str, Any]) -> None:
    console = Console()
    malignancy = metrics["malignancy"]
    summary = Table(
        title=f"{run.name}: {malignancy['nodules']} test nodules ({malignancy['malignant']} rated malignant) "
        f"of {malignancy['patients']} patients"
    )
    for heading, side in (("malignancy", "left"), ("value", "right"), ("95 %", "right")):
        summary.add_column(heading, justify=side)
    rows = {
        "AUC": "auc",
        "AUC, diameter alone": "diameter_auc",
        "difference, paired": "auc_minus_diameter",
        "AUC, features": "features_auc",
        "difference to features": "auc_minus_features",
    }
    for title, key in rows.items():
        if key in malignancy:
            value = malignancy[key]
            summary.add_row(title, f"{value['value']:.3f}", f"{value['low']:.3f} – {value['high']:.3f}")
    for title, key in (("accuracy", "accuracy"), ("Brier score", "brier"), ("calibration error", "ece")):
        summary.add_row(title, f"{malignancy[key]:.3f}", "")
    console.print(summary)
    targets = Table(title=f"agreement with the readers' mean; intervals of {1 - run.calibration.alpha:.0%}")
    for heading in ("target", "nodules", "MAE", "Spearman", "coverage", "width"):
        targets.add_column(heading, justify="left" if heading == "target" else "right")
    for name, row in metrics["targets"].items():
        numbers = (row["mae"], row["spearman"], row["coverage"], row["interval_width"])
        targets.add_row(name, str(row["nodules"]), *("–" if n is None else f"{n:.3f}" for n in numbers))
    console.print(targets)
