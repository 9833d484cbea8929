"""What three views of drawn CTs add to the shipped recipe on real nodules.

    python benchmarks/lidc2d_phantom.py WORK_DIR [--folds 0 1]

WORK_DIR is that of lidc2d_folds.py after `--models hybrid hybrid_seed1`. `ctxai phantom` draws the CTs of 160
LIDC-IDRI patients with nodules, none of them in the test and calibration folds that it is measured on; `ctxai ingest`
crops their nodules, and `ctxai train --config hybrid-views.yaml` learns three views of them. hybrid.yaml is then
trained on the real slices from this backbone (`phantom`) and from random weights (`random`; seed 1: `seed1`), with
all and with 10 % of the labelled training patients, for as many steps each. Two folds share a phantom.

Writes results/lidc2d_phantom.csv: area under the ROC curve on the nodules of each test fold that have a class, and its
mean over the folds. `phantom_only` is the run of the drawn CTs on the real slices, without further training;
`drawn_three_views` and `drawn_axial` are the same run on drawn test patients of its own. Intervals are 95 %, from a
bootstrap over patients; differences are paired. A killed benchmark goes on.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lidc2d_folds import FOLDS, test_rows
from lidc2d_hybrid import Row, report
from lidc2d_pretraining import EPOCHS, labelled_share

from ctxai.cli import run_command
from ctxai.data.store import NoduleStore
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.evaluate.predictions.evaluation import predict_rows
from ctxai.evaluate.predictions.scores import area_under_curve
from ctxai.files import write_text
from ctxai.lidc.database import LidcDatabase
from ctxai.resources import resource
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_phantom.csv"
SHARED = ((0, 1), (2, 3), (4,))
"""Test folds that share a phantom."""

PATIENTS = 160  # what some five minutes of one processor core draw and crop
COHORT = "{name: any-reader, min_readers: 1}"  # as the real store
SCORES = ("diameter", "phantom_only", "random_1", "seed1_1", "phantom_1", "random_0.1", "phantom_0.1")
DIFFERENCES = (
    ("phantom_only", "diameter"),
    ("phantom_1", "random_1"),
    ("seed1_1", "random_1"),
    ("phantom_0.1", "random_0.1"),
)
DRAWN = ("diameter", "drawn_three_views", "drawn_axial")
_KNOWN = ["nodule_id", "patient_id", "label_malignancy"]


def main() -> None:
    """Draw, train, predict and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--folds", type=int, nargs="*", choices=range(FOLDS), default=[0, 1])
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = {str(fold): fold_scores(options.work, fold) for fold in options.folds}
    rows = figures(tables, SCORES, DIFFERENCES)
    for folds in SHARED:
        if set(folds) & set(options.folds):
            name = "drawn, for " + " ".join(map(str, folds))
            rows += figures({name: drawn_scores(options.work, folds)}, DRAWN)
    report(RESULTS, rows)


def fold_scores(work: Path, fold: int) -> pd.DataFrame:
    """All scores of the real nodules of a test fold that have a class."""
    tables = [kept_scores(work, fold, name) for name in SCORES]
    return pd.concat([tables[0], *(table.drop(columns=_KNOWN) for table in tables[1:])], axis=1)


def kept_scores(work: Path, fold: int, name: str) -> pd.DataFrame:
    """One score of a test fold, higher for malignant, in a column of its name; read where it is there already."""
    file = work / "phantom_tables" / f"{name}_fold{fold}.csv"
    if not file.is_file():
        store = NoduleStore(work / "store")
        rows = test_rows(store, fold)
        if name == "diameter":
            table = store.table.iloc[rows].assign(diameter=lambda found: found["diameter_mm"])
        else:
            table = predict_rows(run_of(work, fold, name), store, rows).rename(columns={"malignancy_logit": name})
        write_text(file, table[[*_KNOWN, name]].to_csv(index=False))
    return pd.read_csv(file)


def run_of(work: Path, fold: int, name: str) -> Run:
    """The run that gives a score of a test fold, trained unless it is there."""
    if name == "phantom_only":
        return axial(Run.load(phantom_run(work, fold)))
    start, share = name.split("_")
    kept = {"random_1": "hybrid", "seed1_1": "hybrid_seed1"}.get(name)
    if kept:
        return Run.load(work / kept / f"fold{fold}")
    store, epochs = labelled_share(work, float(share), fold), round(EPOCHS / float(share))
    folder, config = work / "phantom" / f"{name}_fold{fold}", str(resource("configs", "hybrid.yaml"))
    command = ["train", str(store), str(folder), "--config", config, "--optim.epochs", str(epochs)]
    command += [f"--folds.test={fold}", f"--folds.validation={(fold + 1) % FOLDS}"]
    if start == "phantom":
        command += ["--backbone.weights", str(phantom_run(work, fold))]
    run_command(command)
    return Run.load(folder)


def axial(run: Run) -> Run:
    """A run of three views that sees single axial slices."""
    return replace(run, config=replace(run.config, views=replace(run.views, views=("axial",), beyond="nearest")))


def phantom_run(work: Path, fold: int) -> Path:
    """Folder of a run of three views of drawn CTs that holds no patient of a fold's test or calibration part."""
    folds = next(folds for folds in SHARED if fold in folds)
    folder = work / f"phantom{''.join(map(str, folds))}"
    ct, store, run = folder / "ct", folder / "store", folder / "run"
    if not (store / "nodules.parquet").is_file():
        patients = drawn_patients(LidcDatabase(), NoduleStore(work / "store").table, folds)
        run_command(["phantom", str(ct), "--patients", *patients])
        write_text(folder / "cohort.yaml", COHORT)
        run_command(["ingest", str(ct), str(store), "--cohort", str(folder / "cohort.yaml")])
        shutil.rmtree(ct)
    config = ["--config", str(resource("configs", "hybrid-views.yaml"))]
    run_command(["train", str(store), str(run), *config, "--optim.epochs", str(EPOCHS)])
    return run


def drawn_patients(database: LidcDatabase, table: pd.DataFrame, folds: Sequence[int]) -> list[str]:
    """Patients with nodules, drawn once among those who are in no test or calibration part of some test folds.

    Args:
        database: LIDC-IDRI's annotations.
        table: of the real nodules, with patients and folds.
        folds: the test folds.
    """
    held_out = {part % FOLDS for fold in folds for part in (fold, fold + 1)}
    seen = set(table.loc[table["fold"].isin(held_out), "patient_id"])
    others = [scan for scan in database.scans if scan.patient_id not in seen]
    patients = sorted({scan.patient_id for scan in others if database.nodules(scan)})
    return sorted(np.random.default_rng(0).permutation(patients)[:PATIENTS].tolist())


def drawn_scores(work: Path, folds: Sequence[int]) -> pd.DataFrame:
    """Scores of the drawn nodules that the phantom's own run has not learnt from."""
    folder = phantom_run(work, folds[0])
    run, store = Run.load(folder), NoduleStore(folder.parent / "store")
    rows = test_rows(store, 0)
    table = store.table.iloc[rows][[*_KNOWN, "diameter_mm"]].rename(columns={"diameter_mm": "diameter"})
    for name, model in (("drawn_three_views", run), ("drawn_axial", axial(run))):
        table[name] = predict_rows(model, store, rows)["malignancy_logit"].to_numpy()
    return table


def figures(
    tables: dict[str, pd.DataFrame], scores: Sequence[str], differences: Sequence[tuple[str, str]] = ()
) -> list[Row]:
    """Areas and their differences in every fold and, of several, their mean.

    Args:
        tables: of each fold, by its name, nodules with patient, class and scores.
        scores: columns.
        differences: pairs of columns, first minus second.
    """
    rows = [row for fold, table in tables.items() for row in mean_areas([table], fold, scores, differences)]
    if len(tables) > 1:
        rows += mean_areas(list(tables.values()), "mean of " + " ".join(tables), scores, differences)
    return rows


def mean_areas(
    tables: Sequence[pd.DataFrame], name: str, scores: Sequence[str], differences: Sequence[tuple[str, str]]
) -> list[Row]:
    """Areas, mean of some folds, with intervals; arguments as of :func:`figures`."""
    table = pd.concat([one.assign(part=number) for number, one in enumerate(tables)], ignore_index=True)
    patients, labels = table["patient_id"].to_numpy(), table["label_malignancy"].to_numpy(int)
    part, values = table["part"].to_numpy(), {score: table[score].to_numpy(float) for score in scores}

    def statistics(rows: np.ndarray) -> dict[str, float]:
        drawn = [rows[part[rows] == number] for number in range(len(tables))]
        areas = {
            score: float(np.mean([area_under_curve(labels[rows], value[rows]) for rows in drawn]))
            for score, value in values.items()
        }
        return areas | {f"{first} minus {other}": areas[first] - areas[other] for first, other in differences}

    counts: Row = {"nodules": len(table), "patients": len(set(patients))}
    found = bootstrap_patients(statistics, patients, labels)
    return [{"figure": figure, "fold": name} | counts | value for figure, value in found.items()]


if __name__ == "__main__":
    main()
