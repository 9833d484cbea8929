"""Reliability of the maps of the shipped recipe over five folds.

    python benchmarks/lidc2d_maps.py WORK_DIR [--nodules 80] [--methods …] [--targets …] [--summary] [--record RUN]

WORK_DIR is that of lidc2d_folds.py after `--models hybrid`: the maps of each fold's run on `--nodules` of its own test
nodules (three readers or more) in a random order (seed 0), as map_reliability.py measures them. Nodules are measured in
blocks of ten, of every fold in turn, and kept in WORK_DIR, so that a killed study goes on. `--summary` measures nothing
and takes what is kept. `--record` writes the figures into the model card of the ensemble of these runs.

Malignancy, and for the default map every other target (`--targets`). The random maps of the check are those of
`ctxai explain`, the same for all nodules; `random_blocks` is a control: four further ones of each nodule. `passes_both`
is the share that passes with either fill. `fidelity_lung` and `fidelity_blur` are means, 0 by chance.
`inside_malignant` and `inside_benign` are `inside` of the nodules that the run predicts to be so. Intervals are 95 %,
from a bootstrap over patients; exact ones of patients for shares of 0 and 1.

Writes results/lidc2d_maps.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lidc2d_hybrid import FOLDS, Row, kept_predictions, predict_fold, report
from map_reliability import VARIANTS, Nodules, random_blocks, record, summary, unseen_rows
from scipy.stats import binomtest

from ctxai.data.labels import TARGETS
from ctxai.data.store import NoduleStore
from ctxai.evaluate.map_quality import RANDOM_MAPS
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.files import write_text
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_maps.csv"
BLOCK, CONTROLS = 10, 4
CONTROL, PROBABILITY = "random_blocks", "malignancy_probability"
METHODS = (
    "path_gradients",
    "path_gradients, whole field",
    "cdam",
    "path_cdam, first block",
    "path_cdam, last block",
    "random_map",
    CONTROL,
)

Task = tuple[str, str]


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--nodules", type=int, default=80)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--targets", nargs="*", choices=TARGETS, default=["malignancy"])
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--record", type=Path, help="run folder of the ensemble")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = [(method, "malignancy") for method in given.methods if "malignancy" in given.targets]
    tasks += [(METHODS[0], target) for target in given.targets if target != "malignancy"]
    if not given.summary:
        measure(given.work, given.nodules, tasks)
    predicted = kept_predictions(given.work, "predictions", predict_fold)[["nodule_id", PROBABILITY]]
    rows = figures(given.work, predicted)
    report(RESULTS, rows)
    if given.record:
        record(Run.load(given.record), for_the_card(rows))


def measure(work: Path, count: int, tasks: list[Task]) -> None:
    """Measure the blocks of nodules that are not kept yet."""
    store = NoduleStore(work / "store")
    runs = {fold: Run.load(work / "hybrid" / f"fold{fold}") for fold in range(FOLDS)}
    for start in range(0, count, BLOCK):
        for fold, run in runs.items():
            missing = [task for task in tasks if not kept_file(work, task, fold, start).is_file()]
            if not missing:
                continue
            rows = unseen_rows(run, store)[start : min(start + BLOCK, count)]
            nodules = Nodules(run, store, rows, random_blocks(RANDOM_MAPS, 1, seed=0).expand(-1, len(rows), -1, -1))
            for method, target in missing:
                found = measured(run, nodules, method, target, seed=1 + 1000 * fold + start).assign(fold=fold)
                write_text(kept_file(work, (method, target), fold, start), found.to_csv(index=False))
            print(f"fold {fold}, nodules {start} to {start + BLOCK}", flush=True)


def measured(run: Run, nodules: Nodules, method: str, target: str, seed: int) -> pd.DataFrame:
    """Figures of every nodule's map; of the control, one row for every random map that ``seed`` gives.

    Of other targets than malignancy, removal alone.
    """
    if method == CONTROL:
        maps = random_blocks(CONTROLS, len(nodules.table), seed)
        return pd.concat([nodules.table.assign(**nodules.removal(one)) for one in maps], ignore_index=True)
    kind, options = VARIANTS[method]
    made = make_method(run, kind, options)
    if target != "malignancy":
        return nodules.table.assign(**nodules.removal(nodules.explain(made, target), target))
    return nodules.measure(made)


def kept_file(work: Path, task: Task, fold: int, start: int) -> Path:
    """Where the figures of one block of a fold's nodules are kept."""
    return work / "hybrid_maps" / task[0].replace(", ", "_").replace(" ", "_") / task[1] / f"fold{fold}_{start:03}.csv"


def figures(work: Path, predicted: pd.DataFrame) -> list[Row]:
    """All rows of the results: a method and target each, over all folds.

    Args:
        work: where the figures of nodules are kept.
        predicted: ``malignancy_probability`` of every ``nodule_id``.
    """
    rows: list[Row] = []
    for method, target in [(method, "malignancy") for method in METHODS] + [(METHODS[0], name) for name in TARGETS[1:]]:
        files = sorted(kept_file(work, (method, target), 0, 0).parent.glob("fold*.csv"))
        if not files:
            continue
        table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
        table = table.merge(predicted, on="nodule_id", how="left", validate="many_to_one")
        columns = {name: values.to_numpy() for name, values in table.items()}
        counts = {"nodules": table["nodule_id"].nunique(), "patients": table["patient_id"].nunique()}
        found = bootstrap_patients(partial(shown, columns), columns["patient_id"])
        for figure, values in found.items():
            if figure.startswith("passes_") and values["value"] in (0, 1):
                values |= _all_or_none(int(values["value"]), counts["patients"])
            rows.append({"method": method, "target": target, "figure": figure} | counts | values)
    return rows


def for_the_card(rows: list[Row]) -> Iterator[dict[str, Any]]:
    """One row for each method and target, as a model card shows it."""
    for (method, target), group in pd.DataFrame(rows).groupby(["method", "target"], sort=False):
        by_figure = group.set_index("figure")
        found: dict[str, Any] = {"method": method, "target": target, "nodules": int(group["nodules"].iloc[0])}
        for name in ("passes_lung", "passes_blur"):
            found[name] = {end: round(float(by_figure.at[name, end]), 3) for end in ("value", "low", "high")}
        for name in {"rho", "inside"} & set(by_figure.index):
            found[name] = round(float(by_figure.at[name, "value"]), 3)
        yield found


def _all_or_none(share: int, patients: int) -> dict[str, float]:
    """Exact (Clopper-Pearson) interval of a share that is 0 or 1 in all patients, where draws do not differ."""
    low, high = binomtest(share * patients, patients).proportion_ci()
    return {"low": low, "high": high}


def shown(columns: Mapping[str, np.ndarray], drawn: np.ndarray) -> dict[str, float]:
    """Figures of drawn rows."""
    rows = {name: values[drawn] for name, values in columns.items()}
    names = ("passes_lung", "passes_blur", "fidelity_lung", "fidelity_blur")
    found = {name: float(rows[name].mean()) for name in names}
    found["passes_both"] = float((rows["passes_lung"] & rows["passes_blur"]).mean())
    if "inside" not in rows:
        return found
    malignant = rows[PROBABILITY] >= 0.5
    for name, chosen in (("malignant", malignant), ("benign", ~malignant)):
        inside = rows["inside"][chosen & ~np.isnan(rows["inside"])]
        found[f"inside_{name}"] = float(inside.mean()) if len(inside) else float("nan")
    return found | summary(rows)


if __name__ == "__main__":
    main()
