"""What pretraining without labels is worth to the shipped recipe, by the share of training patients that have labels.

    python benchmarks/lidc2d_pretraining.py WORK_DIR [--nodules 80]

WORK_DIR is that of lidc2d_folds.py. `ctxai pretrain` trains the recipe's backbone on all crops of the patients outside
test fold 0; hybrid.yaml is then trained from it and from random weights on 10, 25, 50 and 100 % of the training
patients, for as many steps each. Writes results/lidc2d_pretraining.csv: `auc`, the area under the ROC curve on the
nodules of test fold 0 that have a class; and for the default map of malignancy of the two runs of all patients, on
nodules of that fold (three readers or more) in a random order, `fidelity` and the share that `passes` with the lung's
mean and with a blur in the place of what is removed, as map_reliability.py measures them. 95 % intervals over patients;
differences are paired. A killed benchmark goes on.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lidc2d_folds import FOLDS, test_rows
from lidc2d_hybrid import Row, report
from map_reliability import Nodules, random_blocks, unseen_rows

from ctxai.cli import run_command
from ctxai.data.store import NoduleStore
from ctxai.evaluate.map_quality import RANDOM_MAPS
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.evaluate.predictions.evaluation import predict_rows
from ctxai.evaluate.predictions.scores import area_under_curve
from ctxai.files import atomic_folder, write_text
from ctxai.resources import resource
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_pretraining.csv"
FOLD = 0
KEYS = ["nodule_id", "patient_id"]
FIGURES = ("fidelity_lung", "fidelity_blur", "passes_lung", "passes_blur")
BLOCK = 10
SHARES = (1.0, 0.1, 0.25, 0.5)
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
    parser.add_argument("--nodules", type=int, default=80)
    given = parser.parse_args()
    work = given.work
    torch.set_num_threads(1)
    run_command(["pretrain", str(work / "store"), str(work / "stem_backbone"), *PRETRAINING])
    rows: list[Row] = []
    for share in SHARES:
        rows += auc_figures(both_starts(partial(predictions, work, share)), share)
        report(RESULTS, rows)
    rows += map_figures(both_starts(partial(map_quality, work, given.nodules)))
    report(RESULTS, rows)


def both_starts(measure: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """What a function of a start measures, row by row, in columns that end with the start's name."""
    first, second = (measure(start).set_index(KEYS).add_suffix(f"_{start}") for start in STARTS)
    return first.join(second, how="inner", validate="one_to_one").reset_index()


def predictions(work: Path, share: float, start: str) -> pd.DataFrame:
    """Labels and malignancy logits of the test fold, by the run of one start and share of the patients."""
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
        write_text(file, table[[*KEYS, "label_malignancy", "malignancy_logit"]].to_csv(index=False))
    return pd.read_csv(file)


def labelled_share(work: Path, share: float, fold: int = FOLD) -> Path:
    """A store where a share of a fold's training patients keep labels; smaller shares are parts of larger ones."""
    if share == 1:
        return work / "store"
    folder = work / (f"store_{share:g}" if fold == FOLD else f"store_{share:g}_fold{fold}")
    if not folder.is_dir():
        with atomic_folder(folder) as copy:
            shutil.copytree(work / "store", copy, dirs_exist_ok=True)
            store = NoduleStore(copy)
            table = store.table
            store.write_table(table.assign(fault=table["fault"].mask(left_out(table, share, fold), "left out")))
    return folder


def left_out(table: pd.DataFrame, share: float, fold: int = FOLD) -> pd.Series:
    """Rows of a fold's training patients beyond a share, in an order drawn once."""
    training = ~table["fold"].isin([fold, (fold + 1) % FOLDS])
    patients = np.random.default_rng(0).permutation(sorted(set(table.loc[training, "patient_id"])))
    return training & ~table["patient_id"].isin(patients[: round(share * len(patients))])


def map_quality(work: Path, count: int, start: str) -> pd.DataFrame:
    """Fidelity of the default maps of malignancy of nodules of the test fold, by the run of one start."""
    run, store = Run.load(work / "pretraining" / f"{start}_1"), NoduleStore(work / "store")
    rows, tables = unseen_rows(run, store)[:count], []
    random = random_blocks(RANDOM_MAPS, 1, seed=0)
    for begin in range(0, len(rows), BLOCK):
        file = work / "pretraining_tables" / f"maps_{start}_{begin:03}.csv"
        if not file.is_file():
            part = rows[begin : begin + BLOCK]
            nodules = Nodules(run, store, part, random.expand(-1, len(part), -1, -1))
            maps = nodules.explain(make_method(run, run.default_methods[0]))
            write_text(file, nodules.table.assign(**nodules.removal(maps)).to_csv(index=False))
        tables.append(pd.read_csv(file))
    return pd.concat(tables, ignore_index=True)


def auc_figures(table: pd.DataFrame, share: float) -> list[Row]:
    """Areas from both starts, and their difference."""
    labels = table[f"label_malignancy_{STARTS[0]}"].to_numpy()
    logits = {start: table[f"malignancy_logit_{start}"].to_numpy() for start in STARTS}

    def areas(rows: np.ndarray) -> dict[str, float]:
        return _with_difference({start: area_under_curve(labels[rows], one[rows]) for start, one in logits.items()})

    return _rows("auc", share, table, bootstrap_patients(areas, table["patient_id"].to_numpy(), labels))


def map_figures(table: pd.DataFrame) -> list[Row]:
    """Means of the maps' figures from both starts, and their differences."""
    rows: list[Row] = []
    for measure in FIGURES:
        values = {start: table[f"{measure}_{start}"].to_numpy(float) for start in STARTS}

        def means(drawn: np.ndarray, values: dict[str, np.ndarray] = values) -> dict[str, float]:
            return _with_difference({start: float(one[drawn].mean()) for start, one in values.items()})

        rows += _rows(measure, 1.0, table, bootstrap_patients(means, table["patient_id"].to_numpy()))
    return rows


def _with_difference(values: dict[str, float]) -> dict[str, float]:
    return values | {"pretrained minus random": values["pretrained"] - values["random"]}


def _rows(measure: str, share: float, table: pd.DataFrame, found: dict[str, dict[str, float]]) -> list[Row]:
    counts = {"nodules": len(table), "patients": table["patient_id"].nunique()}
    return [{"measure": measure, "labelled": share, "figure": name} | counts | values for name, values in found.items()]


if __name__ == "__main__":
    main()
