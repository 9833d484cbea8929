"""What pretraining without labels is worth to the shipped recipe, by the share of training patients that have labels.

    python benchmarks/lidc2d_pretraining.py WORK_DIR

WORK_DIR is that of lidc2d_folds.py. `ctxai pretrain` trains the recipe's backbone on all crops of the patients outside
test fold 0; hybrid.yaml is then trained from it and from random weights on 10, 25 and 100 % of the training
patients, for as many steps each. Writes results/lidc2d_pretraining.csv: area under the ROC curve on the nodules of test
fold 0 that have a class, with 95 % intervals over patients; differences are paired. A killed benchmark goes on.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lidc2d_folds import test_rows
from lidc2d_hybrid import Row, report

from ctxai.cli import run_command
from ctxai.data.store import NoduleStore
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.evaluate.predictions.evaluation import predict_rows
from ctxai.evaluate.predictions.scores import area_under_curve
from ctxai.files import atomic_folder, write_text
from ctxai.resources import resource
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_pretraining.csv"
FOLD, VALIDATION = 0, 1
SHARES = (1.0, 0.1, 0.25)
STARTS = ("pretrained", "random")
EPOCHS = 20  # of hybrid.yaml, with all patients
PRETRAINING = (
    *("--config", str(resource("configs", "pretrain.yaml"))),
    *("--views.beyond", "nearest", "--optim.epochs", "24"),
    *("--backbone.patch_size", "4", "--backbone.width", "64", "--backbone.heads", "2", "--backbone.mlp_ratio", "2"),
    *("--backbone.stem", "[24, 48]", f"--leave_out_fold={FOLD}"),
)


def main() -> None:
    """Pretrain, train, predict and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    torch.set_num_threads(1)
    run_command(["pretrain", str(work / "store"), str(work / "stem_backbone"), *PRETRAINING])
    rows: list[Row] = []
    for share in SHARES:
        scored = None
        for start in STARTS:
            one = predictions(work, share, start)
            scored = one if scored is None else scored.merge(one, on=["nodule_id", "patient_id", "label_malignancy"])
        assert scored is not None
        rows += figures(scored, share)
        report(RESULTS, rows)


def predictions(work: Path, share: float, start: str) -> pd.DataFrame:
    """Malignancy logits of the test fold, in a column named by the weights that training began with."""
    name = f"{start}_{share:g}"
    file = work / "pretraining_tables" / f"{name}.csv"
    if not file.is_file():
        store = labelled_share(work, share)
        config = str(resource("configs", "hybrid.yaml"))
        begin = ["--backbone.weights", str(work / "stem_backbone")] if start == "pretrained" else []
        epochs = ["--optim.epochs", str(round(EPOCHS / share))]
        folder = work / "pretraining" / name
        run_command(["train", str(store), str(folder), "--config", config, *epochs, *begin])
        whole = NoduleStore(work / "store")
        table = predict_rows(Run.load(folder), whole, test_rows(whole, FOLD))
        kept = table[["nodule_id", "patient_id", "label_malignancy", "malignancy_logit"]]
        write_text(file, kept.rename(columns={"malignancy_logit": start}).to_csv(index=False))
    return pd.read_csv(file)


def labelled_share(work: Path, share: float) -> Path:
    """A store in which a share of the training patients keep their labels; smaller shares are parts of larger ones."""
    if share == 1:
        return work / "store"
    folder = work / f"store_{share:g}"
    if not folder.is_dir():
        with atomic_folder(folder) as copy:
            shutil.copytree(work / "store", copy, dirs_exist_ok=True)
            store = NoduleStore(copy)
            table = store.table
            store.write_table(table.assign(fault=table["fault"].mask(left_out(table, share), "left out")))
    return folder


def left_out(table: pd.DataFrame, share: float) -> pd.Series:
    """Rows of training patients beyond a share, in an order drawn once."""
    training = ~table["fold"].isin([FOLD, VALIDATION])
    patients = np.random.default_rng(0).permutation(sorted(set(table.loc[training, "patient_id"])))
    return training & ~table["patient_id"].isin(patients[: round(share * len(patients))])


def figures(table: pd.DataFrame, share: float) -> list[Row]:
    """Areas from both starts, and their difference."""
    labels = table["label_malignancy"].to_numpy()

    def statistics(rows: np.ndarray) -> dict[str, float]:
        areas = {start: area_under_curve(labels[rows], table[start].to_numpy()[rows]) for start in STARTS}
        return areas | {"pretrained minus random": areas["pretrained"] - areas["random"]}

    found = bootstrap_patients(statistics, table["patient_id"].to_numpy(), labels)
    return [{"figure": name, "labelled": share} | values for name, values in found.items()]


if __name__ == "__main__":
    main()
