"""Five-fold test of the shipped recipe on real nodules, beside hand-made radiomics and the diameter alone.

    python benchmarks/lidc2d_folds.py CROPS_DIR WORK_DIR [--folds 0 1 2 3 4]

CROPS_DIR holds crops.npz, labels.csv and radiomics.csv. Fold k is tested, fold k + 1 calibrated on, the rest trained
on. A finished fold is kept, so that a killed benchmark goes on. Writes results/lidc2d_folds.csv: one line per fold, and
the mean over folds with a 95 % interval from a bootstrap over patients, drawn within folds; differences are paired.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.cli import main as ctxai
from ctxai.data.crops import import_crops
from ctxai.evaluate.predictions import area_under_curve
from ctxai.files import atomic_path

FOLDS = 5
SCORES = {"auc": "malignancy_logit", "diameter_auc": "diameter_mm", "radiomics_auc": "features_score"}
RESULTS = Path(__file__).parent / "results" / "lidc2d_folds.csv"
CONFIG = Path(__file__).parents[1] / "configs" / "lidc2d.yaml"


def run_fold(crops: Path, work: Path, fold: int) -> pd.DataFrame:
    """Train and evaluate one fold; returns its test predictions of nodules with a class."""
    run = work / f"fold{fold}"
    folds = [f"--folds.test={fold}", f"--folds.validation={(fold + 1) % FOLDS}"]
    for call in (
        ["train", str(work / "store"), str(run), "--config", str(CONFIG), *folds],
        ["evaluate", str(run), str(work / "store"), "--features", str(crops / "radiomics.csv")],
    ):
        if code := ctxai(call):
            raise SystemExit(code)
    predictions = pd.read_csv(run / "predictions.csv")
    return predictions[predictions["label_malignancy"].notna()].reset_index(drop=True)


def figures(folds: list[pd.DataFrame]) -> dict[str, float]:
    """Mean over folds of each score's area, and the differences to the run's."""
    areas = {
        name: float(np.mean([area_under_curve(f["label_malignancy"].to_numpy(), f[column]) for f in folds]))
        for name, column in SCORES.items()
    }
    return areas | {f"auc_minus_{name[:-4]}": areas["auc"] - areas[name] for name in SCORES if name != "auc"}


def resample(fold: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Draw the patients of a fold with replacement."""
    groups = list(fold.groupby("patient_id").indices.values())
    return fold.iloc[np.concatenate([groups[i] for i in generator.integers(len(groups), size=len(groups))])]


def main() -> None:
    """Run the folds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    options = parser.parse_args()
    if not (options.work / "store" / "nodules.parquet").is_file():
        import_crops(options.crops, options.work / "store")
    folds = {fold: run_fold(options.crops, options.work, fold) for fold in options.folds}
    generator = np.random.default_rng(0)
    draws = [figures([resample(fold, generator) for fold in folds.values()]) for _ in range(1000)]
    rows = [
        {"fold": k, "nodules": len(f), "patients": f["patient_id"].nunique()} | figures([f]) for k, f in folds.items()
    ]
    total = {"nodules": sum(r["nodules"] for r in rows), "patients": sum(r["patients"] for r in rows)}
    rows.append({"fold": "mean"} | total | figures(list(folds.values())))
    for name, percentile in (("low", 2.5), ("high", 97.5)):
        rows.append(
            {"fold": name} | total | {k: float(np.percentile([d[k] for d in draws], percentile)) for k in draws[0]}
        )
    with atomic_path(RESULTS) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
