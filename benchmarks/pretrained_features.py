"""What pretraining without labels is worth on real nodules.

    python benchmarks/pretrained_features.py CROPS_DIR WORK_DIR [--series DICOM_DIR]

Probes: nodules with at least three readers and a median malignancy other than 3, five folds of patients; k nearest
neighbours and a linear probe on the features of the shipped pretrained backbone, of the same network with random
weights, and on the pixels at 1 mm. Writes results/pretrained_features.csv: area under the ROC curve, mean over folds,
with 95 % intervals from a bootstrap over patients; differences are paired.

With --series (the CT of LIDC-IDRI-0001), also the transductive check: the same pretraining without the patients of test
fold 0, the fine-tuning of configs/lidc2d.yaml from either backbone, and the difference on that fold, in
results/transductive.csv. A killed benchmark goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from feature_probes import compare_features

from ctxai.cli import main as ctxai
from ctxai.data.crops import import_crops
from ctxai.data.patches import Patches
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.views import render_own_views
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.evaluate.predictions.scores import area_under_curve
from ctxai.files import write_text
from ctxai.models.backbone import make_backbone
from ctxai.models.settings import BackboneConfig
from ctxai.resources import resource
from ctxai.run.run import Run

FOLD = 0
ROOT = Path(__file__).parents[1]
PRETRAINED = ROOT / "ctxai" / "weights" / "vit_tiny_dino_lidc2d"
RESULTS = Path(__file__).parent / "results"


def images_of(store: NoduleStore, rows: np.ndarray, views: ViewConfig) -> torch.Tensor:
    """The centre images of rows, (row, 3, pixels, pixels)."""
    return render_own_views(Patches(store, rows)[rows], views)[:, 0]


@torch.inference_mode()
def embed(backbone: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """Features of images, (image, width)."""
    return torch.cat([backbone.eval()(block) for block in images.split(64)]).numpy()


def compare_probes(store: NoduleStore) -> Mapping[str, Mapping[str, float | None]]:
    """Areas of both probes on the three kinds of features."""
    table = store.table
    rows = np.flatnonzero((table["n_readers"] >= 3) & table["label_malignancy"].notna())
    views, config = ViewConfig(("axial",), mean=-604.305, std=382.927), BackboneConfig(depth=2, weights=PRETRAINED)
    images = images_of(store, rows, views)
    torch.manual_seed(0)
    random = make_backbone(BackboneConfig(depth=2), views.pixels)
    native = ViewConfig(**(vars(views) | {"pixels": round(views.field_of_view_mm)}))
    features = {
        "pretrained": embed(make_backbone(config, views.pixels), images),
        "random ViT": embed(random, images),
        "pixels": images_of(store, rows, native)[:, 0].flatten(1).numpy(),
    }
    chosen = table.iloc[rows]
    return compare_features(
        features,
        chosen["label_malignancy"].to_numpy(),
        chosen["patient_id"].to_numpy(),
        chosen["fold"].to_numpy(),
    )


def compare_transductive(crops: Path, work: Path, series: Path) -> Mapping[str, Mapping[str, float | None]]:
    """Areas on the test fold of a run from the shipped backbone, and of one from one that never saw its patients."""
    store, backbone = str(work / "store"), str(work / f"without_fold{FOLD}")
    run, seen = str(work / "left_out"), str(work / "seen")
    same = ["--config", str(PRETRAINED / "config.yaml"), "--series", str(series), "--accelerator", "cpu"]
    recipe = ["--config", str(resource("configs", "lidc2d.yaml")), "--accelerator", "cpu"]
    baselines = ["--features", str(crops / "radiomics.csv")]
    for call in (
        ["pretrain", store, backbone, *same, f"--leave_out_fold={FOLD}"],
        ["train", store, run, *recipe, f"--backbone.weights={backbone}"],
        ["evaluate", run, store, *baselines],
        ["train", store, seen, *recipe],
        ["evaluate", seen, store, *baselines],
    ):
        if code := ctxai(call):
            raise SystemExit(code)
    other = Run.load(run).predictions
    both = Run.load(seen).predictions.merge(other, on="nodule_id", suffixes=("", "_left_out"), validate="one_to_one")
    both = both[both["label_malignancy"].notna()].reset_index(drop=True)
    labels = both["label_malignancy"].to_numpy()
    scores = {
        "all patients seen": both["malignancy_logit"].to_numpy(),
        f"patients of fold {FOLD} left out": both["malignancy_logit_left_out"].to_numpy(),
    }
    first, second = scores

    def statistics(rows: np.ndarray) -> dict[str, float]:
        areas = {name: area_under_curve(labels[rows], values[rows]) for name, values in scores.items()}
        return areas | {f"{first} minus {second}": areas[first] - areas[second]}

    return bootstrap_patients(statistics, both["patient_id"].to_numpy(), labels)


def write(path: Path, figures: Mapping[str, Mapping[str, float | None]]) -> None:
    """One line per figure."""
    table = pd.DataFrame([{"figure": name} | dict(values) for name, values in figures.items()]).round(4)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    print(table.to_string(index=False))


def main() -> None:
    """Run the comparisons and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--series", type=Path)
    options = parser.parse_args()
    if not (options.work / "store" / "nodules.parquet").is_file():
        import_crops(options.crops, options.work / "store")
    write(RESULTS / "pretrained_features.csv", compare_probes(NoduleStore(options.work / "store")))
    if options.series:
        write(RESULTS / "transductive.csv", compare_transductive(options.crops, options.work, options.series))


if __name__ == "__main__":
    main()
