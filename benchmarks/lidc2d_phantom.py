"""What three views of drawn CTs add to the shipped recipe on real nodules.

    python benchmarks/lidc2d_phantom.py WORK_DIR [--folds 0 1] [--scores phantom_only phantom_1 …]

WORK_DIR is that of lidc2d_folds.py after `--models hybrid hybrid_seed1`. `ctxai phantom` draws the CTs of 160
LIDC-IDRI patients with nodules, none of them in the test and calibration folds that it is measured on; `ctxai ingest`
crops their nodules, and `ctxai train --config hybrid-views.yaml` learns three views of them. hybrid.yaml is then
trained on the real slices from this backbone (`phantom`) and from random weights (`random`; seed 1: `seed1`), with
all and with 10 % of the labelled training patients, for as many steps each. Two folds share a phantom.

Writes results/lidc2d_phantom.csv: area under the ROC curve on the nodules of each test fold that have a class, and its
mean over the folds that are there; where `minus` names another score, their difference. `phantom_only` is the run of
the drawn CTs on the real slices, without further training; `drawn_three_views` and `drawn_axial` are the same run on
drawn patients of its own test fold. Intervals are 95 %, from a bootstrap over patients; differences are paired. A
finished score is kept in WORK_DIR, so that a killed benchmark goes on and scores can be added one by one.
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
COMPARED = (
    ("phantom_only", "diameter"),
    ("phantom_only", "random_1"),
    ("phantom_only", "random_0.1"),
    ("phantom_1", "random_1"),
    ("seed1_1", "random_1"),
    ("phantom_0.1", "random_0.1"),
)
"""Differences that are reported, where there are folds of both."""

DRAWN = ("diameter", "drawn_three_views", "drawn_axial")
_KNOWN = ["nodule_id", "patient_id", "label_malignancy"]


def main() -> None:
    """Draw, train, predict and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--folds", type=int, nargs="*", choices=range(FOLDS), default=[0, 1])
    parser.add_argument("--scores", nargs="*", choices=SCORES, default=SCORES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for fold in options.folds:
        for name in options.scores:
            kept_scores(options.work, fold, name)
    rows = figures(fold_tables(options.work), [*((name, "") for name in SCORES), *COMPARED])
    for folds in SHARED:
        if set(folds) & set(options.folds):
            drawn = {f"drawn for {' '.join(map(str, folds))}": drawn_scores(options.work, folds)}
            rows += figures(drawn, [(name, "") for name in DRAWN])
    report(RESULTS, rows)


def fold_tables(work: Path) -> dict[str, pd.DataFrame]:
    """By test fold, its nodules with patient, class and a column for every score that there is."""
    tables: dict[str, pd.DataFrame] = {}
    for fold in range(FOLDS):
        for name in SCORES:
            if score_file(work, fold, name).is_file():
                scores = kept_scores(work, fold, name)
                known = tables.get(str(fold))
                tables[str(fold)] = scores if known is None else known.merge(scores, on=_KNOWN, validate="1:1")
    return tables


def score_file(work: Path, fold: int, name: str) -> Path:
    """Where a score of a fold is kept."""
    return work / "phantom_tables" / f"{name}_fold{fold}.csv"


def kept_scores(work: Path, fold: int, name: str) -> pd.DataFrame:
    """One score of a test fold, higher for malignant, in a column of its name; read where it is there already."""
    file = score_file(work, fold, name)
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
    """Scores of the drawn nodules of the phantom's own test fold that have a class."""
    file = work / "phantom_tables" / f"drawn{''.join(map(str, folds))}.csv"
    if file.is_file():
        return pd.read_csv(file)
    folder = phantom_run(work, folds[0])
    run, store = Run.load(folder), NoduleStore(folder.parent / "store")
    rows = test_rows(store, 0)
    table = store.table.iloc[rows][[*_KNOWN, "diameter_mm"]].rename(columns={"diameter_mm": "diameter"})
    for name, model in (("drawn_three_views", run), ("drawn_axial", axial(run))):
        table[name] = predict_rows(model, store, rows)["malignancy_logit"].to_numpy()
    write_text(file, table.to_csv(index=False))
    return table


def figures(tables: dict[str, pd.DataFrame], compared: Sequence[tuple[str, str]]) -> list[Row]:
    """Areas and differences of areas in every fold and, of several, their mean.

    Args:
        tables: by fold, nodules with patient, class and scores.
        compared: a score, and the one that is subtracted or nothing; folds that lack one of them are left out.
    """
    rows: list[Row] = []
    for name, minus in compared:
        known = {fold: table for fold, table in tables.items() if {name, minus or name} <= set(table)}
        rows += [mean_area(fold, [table], name, minus) for fold, table in known.items()]
        if len(known) > 1:
            rows.append(mean_area(f"mean of {' '.join(known)}", list(known.values()), name, minus))
    return rows


def mean_area(fold: str, tables: Sequence[pd.DataFrame], name: str, minus: str) -> Row:
    """Mean over some folds of an area, or of a difference of areas, with its interval."""
    table = pd.concat([one.assign(part=number) for number, one in enumerate(tables)], ignore_index=True)
    patients, labels = table["patient_id"].to_numpy(), table["label_malignancy"].to_numpy(int)
    part, signed = table["part"].to_numpy(), [(1, table[name].to_numpy(float))]
    if minus:
        signed.append((-1, table[minus].to_numpy(float)))

    def statistics(rows: np.ndarray) -> dict[str, float]:
        parts = [rows[part[rows] == number] for number in range(len(tables))]
        areas = [[sign * area_under_curve(labels[one], score[one]) for sign, score in signed] for one in parts]
        return {"auc": float(np.sum(areas) / len(tables))}

    found = bootstrap_patients(statistics, patients, labels)["auc"]
    counts: Row = {"nodules": len(table), "patients": len(set(patients))}
    interval = {"auc": found["value"], "low": found["low"], "high": found["high"]}
    return {"score": name, "minus": minus, "fold": fold} | counts | interval


if __name__ == "__main__":
    main()
