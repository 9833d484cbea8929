"""Maps of the shipped run by the exact permutation test, and under a mark moved by 2 mm.

    python benchmarks/map_reliability.py CROPS_DIR WORK_DIR [--nodules 40] [--methods cdam path_gradients …]

CROPS_DIR holds crops.npz and labels.csv. Nodules are of patients that the run has not seen, as many malignant as
benign. A map passes where it is ahead of all 20 random maps (ten, with both signs), with the lung's mean or with a blur
in the place of what is removed; `random_map` shows how often a map without information does. `rho` is the median over
nodules of the rank correlation in mm with the map about a mark 2 mm aside, `sign` the share of strong pixels (a quarter
of the largest magnitude) whose sign differs there, `peak_mm` the median distance of the peaks, `inside` the mean share
of positive evidence within the readers' outline. `passes_cost` is processor time in forward passes of the model.
Malignancy alone.

Writes results/map_reliability.csv.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ctxai.data.crops import import_crops
from ctxai.data.store import NoduleStore
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.evaluation_set import EvaluationSet, choose_rows, read_subjects
from ctxai.evaluate.explanations.map_quality import FIDELITY, FIDELITY_BLUR, PERCENTILE_NEEDED, RANDOM_MAPS, percentile
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.similarity import spearman
from ctxai.evaluate.metrics.localisation.energy_inside import EnergyInside
from ctxai.explain.base import Attribution
from ctxai.files import write_text
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "map_reliability.csv"
SHIFT_MM, STRONG = 2.0, 0.25
METRICS: dict[str, Metric] = {"lung": FIDELITY, "blur": FIDELITY_BLUR}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "cdam": ("cdam", {}),
    "path_cdam, last block": ("path_cdam", {}),
    "path_cdam, first block": ("path_cdam", {"block": 0}),
    "path_gradients": ("path_gradients", {}),
    "path_gradients, 4 draws": ("path_gradients", {"draws": 4}),
    "path_gradients, no shifts": ("path_gradients", {"shift_mm": 0.0}),
    "token_ablation": ("token_ablation", {}),
    "generic_attribution": ("generic_attribution", {}),
    "random_map": ("random_map", {}),
}


def main() -> None:
    """Score every variant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--nodules", type=int, default=40)
    parser.add_argument("--methods", nargs="*", default=list(VARIANTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open()
    store = _store(given.crops, given.work)
    unseen = [row for row, patient in enumerate(store.table["patient_id"]) if not run.in_sample(str(patient))]
    subjects = read_subjects(store, choose_rows(store.table, np.array(unseen), given.nodules, seed=0), run.views)
    target = list(run.target_names).index("malignancy")
    chance = {name: _random(run, subjects, target, metric) for name, metric in METRICS.items()}
    rows = []
    for name in given.methods:
        kind, options = VARIANTS[name]
        figures = score(run, make_method(run, kind, options), subjects, target, chance)
        rows.append({"method": name, "nodules": len(subjects)} | figures)
        print(rows[-1], flush=True)
        write_text(RESULTS, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.3f"))


def score(
    run: Run, method: Attribution, subjects: EvaluationSet, target: int, chance: dict[str, np.ndarray]
) -> dict[str, float]:
    """Figures of one method over the images of all nodules."""
    images = subjects.images
    start = time.process_time()
    maps = torch.cat([method.attribute(block, target) for block in images.split(4)])
    spent = time.process_time() - start
    batch = ExplanationBatch(images, maps, run.model, target=target, views=run.views, method=method)
    figures = {f"passes_{name}": _passes(batch, metric, chance[name]) for name, metric in METRICS.items()}
    figures |= _moved(batch, target)
    masks = subjects.masks["readers"]
    inside = EnergyInside().score(ExplanationBatch(images, maps, method=method, masks=masks))
    return figures | {"inside": float(np.nanmean(inside)), "passes_cost": spent / _one_pass(run, images)}


def _random(run: Run, subjects: EvaluationSet, target: int, metric: Metric) -> np.ndarray:
    """Scores (image, map) of the random maps."""
    generator = torch.Generator().manual_seed(0)
    chance = []
    for _ in range(RANDOM_MAPS):
        maps = torch.rand(len(subjects.images), 8, 8, generator=generator)
        batch = ExplanationBatch(subjects.images, maps, run.model, target=target, views=run.views)
        chance.append(metric.score(batch))
    return np.array(chance).T


def _passes(batch: ExplanationBatch, metric: Metric, chance: np.ndarray) -> float:
    own = metric.score(batch)
    passed = [percentile(value, row) >= PERCENTILE_NEEDED for value, row in zip(own, chance, strict=True)]
    return float(np.mean(passed))


def _moved(batch: ExplanationBatch, target: int) -> dict[str, float]:
    reach = round(SHIFT_MM / batch.mm_per_pixel)
    height, width = batch.images.shape[2:]
    wide = torch.nn.functional.pad(batch.images, (reach, reach, reach, reach), mode="replicate")
    rho, signs, peaks = [], [], []
    for down, right in ((reach, 0), (0, -reach)):
        moved = wide[:, :, reach + down : reach + down + height, reach + right : reach + right + width]
        maps = torch.cat([batch.method.attribute(block, target) for block in moved.split(4)])
        other = ExplanationBatch(moved, maps, method=batch.method).pixel_maps
        first = batch.pixel_maps[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
        second = other[:, max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)]
        rho += spearman(first.flatten(1), second.flatten(1)).tolist()
        for a, b in zip(first, second, strict=True):
            strong = a.abs() >= STRONG * a.abs().max()
            signs.append(float((a[strong].sign() != b[strong].sign()).double().mean()))
            places = [np.unravel_index(int(one.argmax()), one.shape) for one in (a, b)]
            peaks.append(float(np.hypot(*np.subtract(*places))) * batch.mm_per_pixel)
    return {"rho": float(np.nanmedian(rho)), "sign": float(np.mean(signs)), "peak_mm": float(np.median(peaks))}


def _one_pass(run: Run, images: torch.Tensor) -> float:
    start = time.process_time()
    with torch.inference_mode():
        for block in images.split(4):
            run.model(block)
    return time.process_time() - start


def _store(crops: Path, work: Path) -> NoduleStore:
    folder = work / "store"
    if not folder.is_dir():
        import_crops(crops, folder)
    return NoduleStore(folder)


if __name__ == "__main__":
    main()
