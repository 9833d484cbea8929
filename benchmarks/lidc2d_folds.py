"""Patient-level five-fold study on real nodules: the shipped recipe beside baselines and possible improvements.

    python benchmarks/lidc2d_folds.py CROPS_DIR WORK_DIR [--models hybrid radiomics …] [--folds 0 1 2 3 4]

CROPS_DIR holds crops.npz, labels.csv and radiomics.csv. Fold k is tested, fold k + 1 calibrated on, the rest trained
on; nothing is selected by either. `hybrid` is the shipped recipe, `hybrid_seed1` the same from another seed,
`hybrid_members` the mean of both log-odds, `hybrid_shifts` the first averaged over nine places up to 1.5 mm aside along
rows and columns, and `hybrid_features` the first together with a logistic regression on features in the outline that
the run itself sees. `hybrid_field` is the recipe on 64 mm, with tokens of 4 mm around those of 2 mm. `diameter` is the
outline's longest diameter, `radiomics` a logistic regression on the hand-made features of radiomics.csv with a penalty
from cross-validation among the training patients, and `radiomics_fixed` the same with C = 0.1: they know a
radiologist's outline, every other model sees pixels alone. A finished pair of model and fold is kept in WORK_DIR, so
that a killed study goes on and models can be added one by one.

Writes results/lidc2d_folds.csv; rows of models that are not in WORK_DIR stay as they are. For every model: the area
under the ROC curve in each fold, their mean, and `pooled`, one area over the nodules of all its folds. Where `minus`
names another model, auc is the mean difference on the folds that both have. Intervals are 95 %, from a bootstrap over
patients, drawn within folds; differences are paired.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from feature_probes import linear_scores
from own_outline import own_features
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ctxai.cli import run_command
from ctxai.data.crops import import_crops
from ctxai.data.labels import split_rows
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.data.views import render_own_views
from ctxai.evaluate.predictions.baselines import features_scores, network_scores
from ctxai.evaluate.predictions.scores import area_under_curve
from ctxai.files import write_text
from ctxai.resources import resource
from ctxai.run.config import RunConfig
from ctxai.run.run import Run

FOLDS = 5
RESAMPLES = 1000
RESULTS = Path(__file__).parent / "results" / "lidc2d_folds.csv"
SHIFT_MM = 1.5
RESNET_EPOCHS = 12  # at 64 px its epochs cost about five of the small transformer's

TRAINED = {
    "hybrid": ("hybrid.yaml",),
    "hybrid_seed1": ("hybrid.yaml", "--seed", "1"),
    "hybrid_field": (
        *("hybrid.yaml", "--views.field-of-view-mm", "64", "--views.pixels", "128"),
        *("--backbone.coarse-margin", "true"),
    ),
    "pretrained": ("lidc2d.yaml",),
    "random": ("lidc2d.yaml", "--backbone.weights", "null"),
    "malignancy_only": ("lidc2d.yaml", "--targets", "[malignancy]"),
    "hard_labels": ("lidc2d.yaml", "--label", "hard"),
    "wide_window": ("lidc2d.yaml", "--views.hu_window", "[-1000, 1000]"),
}
"""Runs: a file of configs, and the options in which they differ from it."""

FROM_HYBRID = ("hybrid_shifts", "hybrid_features")
"""Other scores by the runs of `hybrid`."""

MEANS = {
    "hybrid_members": ("hybrid", "hybrid_seed1"),
    "members": ("pretrained", "random", "wide_window"),
    "networks": ("pretrained", "random", "wide_window", "resnet18"),
}
"""Means of several models' log-odds."""

MODELS = ("diameter", "radiomics", "radiomics_fixed", *TRAINED, *FROM_HYBRID, "resnet18", "views", *MEANS)
"""Names of all rows; `views` is pretrained averaged over the eight turns and mirror images."""

COMPARED = (
    ("hybrid", "radiomics"),
    ("hybrid", "radiomics_fixed"),
    ("hybrid", "diameter"),
    ("hybrid", "pretrained"),
    ("hybrid_seed1", "radiomics_fixed"),
    ("hybrid_field", "hybrid"),
    ("hybrid_field", "radiomics_fixed"),
    ("hybrid_members", "hybrid"),
    ("hybrid_members", "radiomics_fixed"),
    ("hybrid_members", "diameter"),
    ("hybrid_shifts", "hybrid"),
    ("hybrid_shifts", "radiomics_fixed"),
    ("hybrid_features", "hybrid"),
    ("hybrid_features", "radiomics_fixed"),
    ("hybrid_features", "diameter"),
    ("pretrained", "radiomics"),
    ("pretrained", "diameter"),
    ("pretrained", "random"),
    ("pretrained", "resnet18"),
    ("pretrained", "malignancy_only"),
    ("pretrained", "hard_labels"),
    ("random", "radiomics"),
    ("views", "pretrained"),
    ("views", "radiomics"),
    ("wide_window", "pretrained"),
    ("members", "pretrained"),
    ("members", "diameter"),
    ("members", "radiomics"),
    ("networks", "diameter"),
    ("networks", "radiomics"),
)
"""Differences that are reported, where there are folds of both."""


def options_of(fold: int) -> RunConfig:
    """The options of lidc2d.yaml with another test fold."""
    config = RunConfig.from_yaml(resource("configs", "lidc2d.yaml").read_text(encoding="utf-8"))
    return replace(config, folds=replace(config.folds, test=fold, validation=(fold + 1) % FOLDS))


def test_rows(store: NoduleStore, fold: int) -> np.ndarray:
    """Rows of a test fold that have a class."""
    rows = split_rows(store.table, options_of(fold).folds).test
    return rows[store.table["label_malignancy"].notna().to_numpy()[rows]]


def trained_run(model: str, fold: int, work: Path) -> Run:
    """The run of a model in a fold, trained unless it is there."""
    folder = work / model / f"fold{fold}"
    file, *options = TRAINED[model]
    config = str(resource("configs", file))
    folds = (f"--folds.test={fold}", f"--folds.validation={(fold + 1) % FOLDS}")
    run_command(["train", str(work / "store"), str(folder), "--config", config, *folds, *options])
    return Run.load(folder)


def calibrated(run: Run, outputs: torch.Tensor) -> np.ndarray:
    """Calibrated logits of malignancy outputs, without the limits of a probability: alike from fold to fold."""
    return run.calibration.score(outputs.double().numpy())


def turned_outputs(run: Run, hu: torch.Tensor) -> torch.Tensor:
    """Malignancy output (nodule,), averaged over the quarter turns and mirror images of every view."""
    images = render_own_views(hu, run.views)
    with torch.inference_mode():
        found = [
            run.model(torch.rot90(image, turns, (-2, -1)).flatten(0, 1))[:, 0].unflatten(0, images.shape[:2]).mean(1)
            for image in (images, images.flip(-1))
            for turns in range(4)
        ]
    return torch.stack(found).mean(0)


def scores_of(model: str, fold: int, crops: Path, work: Path) -> np.ndarray:
    """Scores of a fold's test rows by a model, higher for malignant."""
    store = NoduleStore(work / "store")
    rows = test_rows(store, fold)
    if model == "diameter":
        return store.table["diameter_mm"].to_numpy(float)[rows]
    if model == "radiomics":
        training = split_rows(store.table, options_of(fold).folds).training
        return features_scores(pd.read_csv(crops / "radiomics.csv"), store.table, training, rows)
    if model == "radiomics_fixed":
        training = split_rows(store.table, options_of(fold).folds).training
        return fixed_features_scores(pd.read_csv(crops / "radiomics.csv"), store.table, training, rows)
    if model == "resnet18":
        config = options_of(fold)
        config = replace(config, optim=replace(config.optim, epochs=RESNET_EPOCHS))
        return network_scores(model, config, work / "store", rows, work / model / f"fold{fold}", "cpu")
    if model in MEANS:
        return np.mean([kept_scores(name, fold, crops, work) for name in MEANS[model]], axis=0)
    if model == "views":
        run = trained_run("pretrained", fold, work)
        return calibrated(run, turned_outputs(run, Patches(store, rows, memory_limit_bytes=0)[rows]))
    if model == "hybrid_features":
        return with_own_features(trained_run("hybrid", fold, work), store, fold)
    run = trained_run("hybrid" if model == "hybrid_shifts" else model, fold, work)
    hu = Patches(store, rows, memory_limit_bytes=0, beyond=run.views.beyond)[rows]
    centres = run.recentre(hu)
    if model == "hybrid_shifts":
        steps = (-SHIFT_MM, 0.0, SHIFT_MM)
        places = [centres + torch.tensor([0.0, row, column]) for row in steps for column in steps]
        return calibrated(run, torch.stack([run.outputs(hu, place)[:, 0] for place in places]).mean(0))
    return calibrated(run, run.outputs(hu, centres)[:, 0])


def with_own_features(run: Run, store: NoduleStore, fold: int) -> np.ndarray:
    """Log-odds of a fold's test rows, by the run's log-odds and those of features in its own outlines together.

    The features' regression learns from the training nodules of three readers or more. The second one, of both
    log-odds, learns from the validation fold: the run's own log-odds of training nodules are those of the taught.
    """
    table, split = store.table, split_rows(store.table, options_of(fold).folds)
    labels, patients = table["label_malignancy"].to_numpy(float), table["patient_id"].to_numpy()
    known = ~np.isnan(labels) & (table["n_readers"].to_numpy(int) >= 3)
    training, validation, test = (part[known[part]] for part in (split.training, split.validation, split.test))
    parts = {}
    for name, rows in (("training", training), ("validation", validation), ("test", test)):
        hu = Patches(store, rows, memory_limit_bytes=0, beyond=run.views.beyond)[rows]
        centres = run.recentre(hu)
        parts[name] = calibrated(run, run.outputs(hu, centres)[:, 0]), own_features(run, hu, centres)
    queries = np.concatenate([parts["validation"][1], parts["test"][1]])
    by_features = linear_scores(parts["training"][1], labels[training], patients[training], queries)
    both = np.column_stack([np.concatenate([parts["validation"][0], parts["test"][0]]), by_features])
    second = make_pipeline(StandardScaler(), LogisticRegression())
    second.fit(both[: len(validation)], labels[validation])
    return second.decision_function(both[len(validation) :])


def fixed_features_scores(
    features: pd.DataFrame, table: pd.DataFrame, training: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Log-odds of a logistic regression with C = 0.1 that learns from nodules of three readers or more."""
    values = features.assign(nodule_id=features["nodule_id"].astype(str)).set_index("nodule_id")
    labels, readers = table["label_malignancy"].to_numpy(float), table["n_readers"].to_numpy(int)
    training = training[~np.isnan(labels[training]) & (readers[training] >= 3)]
    parts = [values.loc[list(table["nodule_id"].iloc[rows].astype(str))].to_numpy(float) for rows in (training, chosen)]
    regression = LogisticRegression(C=0.1, max_iter=5000)
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), regression)
    return model.fit(parts[0], labels[training].astype(int)).decision_function(parts[1])


def kept_scores(model: str, fold: int, crops: Path, work: Path) -> pd.Series:
    """:func:`scores_of` by nodule, read where they are there already."""
    file = work / "scores" / f"{model}_fold{fold}.csv"
    if not file.is_file():
        store = NoduleStore(work / "store")
        ids = store.table["nodule_id"].iloc[test_rows(store, fold)].to_numpy()
        scores = np.round(scores_of(model, fold, crops, work), 6)
        write_text(file, pd.DataFrame({"nodule_id": ids, "score": scores}).to_csv(index=False))
    return pd.read_csv(file, dtype={"nodule_id": str}).set_index("nodule_id")["score"]


def fold_tables(work: Path) -> dict[int, pd.DataFrame]:
    """Per fold, its test nodules with patient, label and a column of scores for every model that there is."""
    store = NoduleStore(work / "store")
    tables = {}
    for fold in range(FOLDS):
        columns = ["nodule_id", "patient_id", "label_malignancy"]
        table = store.table.iloc[test_rows(store, fold)][columns].set_index("nodule_id")
        for model in MODELS:
            file = work / "scores" / f"{model}_fold{fold}.csv"
            if file.is_file():
                scores = pd.read_csv(file, dtype={"nodule_id": str}).set_index("nodule_id")["score"]
                table[model] = scores.loc[table.index]
        tables[fold] = table
    return tables


def areas(tables: dict[int, pd.DataFrame], drawn: dict[int, np.ndarray]) -> dict[tuple[str, str, str], float]:
    """Every area and difference of areas by (model, minus, fold), on drawn rows of each fold."""
    found: dict[tuple[str, str, str], float] = {}
    by_fold: dict[str, dict[int, float]] = {}
    pooled: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for fold, table in tables.items():
        label = table["label_malignancy"].to_numpy(int)[drawn[fold]]
        for model in MODELS:
            if model in table:
                scores = table[model].to_numpy(float)[drawn[fold]]
                area = by_fold.setdefault(model, {})[fold] = area_under_curve(label, scores)
                found[model, "", str(fold)] = area
                pooled.setdefault(model, []).append((label, scores))
    for model, parts in pooled.items():
        found[model, "", "mean"] = float(np.mean(list(by_fold[model].values())))
        found[model, "", "pooled"] = area_under_curve(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    for model, other in COMPARED:
        both = sorted(set(by_fold.get(model, ())) & set(by_fold.get(other, ())))
        if both:
            found[model, other, "mean"] = float(np.mean([by_fold[model][k] - by_fold[other][k] for k in both]))
    return found


def summary(tables: dict[int, pd.DataFrame], resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """The table of results."""
    generator = np.random.default_rng(seed)
    groups = {fold: list(table.groupby("patient_id").indices.values()) for fold, table in tables.items()}
    values = areas(tables, {fold: np.arange(len(table)) for fold, table in tables.items()})
    draws = []
    for _ in range(resamples):
        drawn = {
            fold: np.concatenate([patients[i] for i in generator.integers(len(patients), size=len(patients))])
            for fold, patients in groups.items()
        }
        draws.append(areas(tables, drawn))
    rows = []
    for (model, minus, fold), value in values.items():
        low, high = np.nanpercentile([draw[model, minus, fold] for draw in draws], [2.5, 97.5])
        needed = [name for name in (model, minus) if name]
        used = [k for k, t in tables.items() if all(n in t for n in needed) and fold in (str(k), "mean", "pooled")]
        counts = {
            "folds": " ".join(map(str, used)),
            "nodules": sum(len(tables[k]) for k in used),
            "patients": sum(tables[k]["patient_id"].nunique() for k in used),
        }
        rows.append({"model": model, "minus": minus, "fold": fold} | counts | {"auc": value, "low": low, "high": high})
    return pd.DataFrame(rows).round(4)


def with_older(results: pd.DataFrame, older: pd.DataFrame) -> pd.DataFrame:
    """Results, and the rows of an older table that they do not measure anew."""
    keys = ["model", "minus", "fold"]
    measured = set(results[keys].itertuples(index=False, name=None))
    other = [key not in measured for key in older[keys].itertuples(index=False, name=None)]
    numbers = {name: pd.to_numeric(older[name]) for name in ("auc", "low", "high")}
    return pd.concat([results, older.assign(**numbers)[other]], ignore_index=True)


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(FOLDS)))
    options = parser.parse_args()
    if not (options.work / "store" / "nodules.parquet").is_file():
        import_crops(options.crops, options.work / "store")
    for model in options.models:
        for fold in options.folds:
            kept_scores(model, fold, options.crops, options.work)
    results = summary(fold_tables(options.work))
    if RESULTS.is_file():
        results = with_older(results, pd.read_csv(RESULTS, keep_default_na=False))
    write_text(RESULTS, results.to_csv(index=False, lineterminator="\n"))
    print(results[results["fold"].isin(["mean", "pooled"])].to_string(index=False))


if __name__ == "__main__":
    main()
