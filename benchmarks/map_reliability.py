"""Maps of the shipped run by the exact permutation test, and under a mark moved by 2 mm, as `ctxai explain` makes them.

    python benchmarks/map_reliability.py CROPS_DIR WORK_DIR [--nodules 60] [--methods cdam …] [--targets texture …]
        [--run RUN_DIR] [--record]

CROPS_DIR holds crops.npz and labels.csv. Nodules are of three readers or more, of patients that the run has not seen.
The run moves the images to the middle of the outline that it sees, also from a mark 2 mm aside in each of two
directions; the two maps are compared place by place in mm. A map passes where it is ahead of all 20 random maps (ten,
with both signs), with the lung's mean or with a blur in the place of what is removed; `random_map` shows how often a
map without information does. `others` is the share of nodules whose own map is ahead of the maps of ten other
nodules. `rho` is the median over nodules of the rank correlation with the map of the mark aside, `sign` the share of
strong pixels (a quarter of the largest magnitude) whose sign differs there, `peak_mm` the median distance of the
peaks, `inside` the mean share of positive evidence within the readers' outline. `passes_cost` is processor time in
forward passes of the model. All of it for malignancy; of other targets (`--targets`) whether the default map passes.
Shares have 95 % intervals (Wilson).

Writes results/map_reliability.csv; what is measured again replaces its line. `--record` writes all lines into the run's
model card too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from own_outline import readers_masks
from scipy.stats import binomtest
from torch import Tensor
from torch.nn.functional import grid_sample

from ctxai.data.crops import import_crops
from ctxai.data.labels import TARGETS
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.data.views import render_own_views
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.similarity import spearman
from ctxai.evaluate.map_quality import (
    FIDELITY,
    FIDELITY_BLUR,
    PERCENTILE_NEEDED,
    RANDOM_GRID,
    RANDOM_MAPS,
    percentile,
)
from ctxai.evaluate.metrics.localisation.energy_inside import EnergyInside
from ctxai.explain.base import Attribution
from ctxai.files import write_text
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "map_reliability.csv"
MARKS_MM = ((0.0, 0.0), (1.7, 1.05), (-1.05, 1.7))  # 2 mm aside: posterior, left
STRONG, OTHERS, TOGETHER = 0.25, 10, 8
DEFAULT = "path_gradients"
METRICS: dict[str, Metric] = {"lung": FIDELITY, "blur": FIDELITY_BLUR}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "path_gradients": ("path_gradients", {}),
    "path_gradients, whole field": ("path_gradients", {"fade_mm": None}),
    "path_gradients, whole field, no shifts": ("path_gradients", {"fade_mm": None, "shift_mm": 0.0}),
    "path_gradients, whole field, 1 mm Gaussian": ("path_gradients", {"fade_mm": None, "sigma_mm": 1.0}),
    "path_gradients, whole field, 4 draws": ("path_gradients", {"fade_mm": None, "draws": 4}),
    "path_gradients, whole field, 30 draws": ("path_gradients", {"fade_mm": None, "draws": 30}),
    "path_gradients, whole field, lung alone": (
        "path_gradients",
        {"fade_mm": None, "baselines": ("lung",), "draws": 20},
    ),
    "path_gradients, whole field, blur alone": (
        "path_gradients",
        {"fade_mm": None, "baselines": ("blur",), "draws": 20},
    ),
    "path_cdam, first block": ("path_cdam", {"block": 0}),
    "path_cdam, last block": ("path_cdam", {}),
    "cdam": ("cdam", {}),
    "token_ablation": ("token_ablation", {}),
    "generic_attribution": ("generic_attribution", {}),
    "random_map": ("random_map", {}),
}


def main() -> None:
    """Score every variant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--nodules", type=int, default=60)
    parser.add_argument("--methods", nargs="*", default=list(VARIANTS))
    parser.add_argument("--targets", nargs="*", choices=TARGETS[1:], default=list(TARGETS[1:]))
    parser.add_argument("--run", type=Path, help="a run folder; the shipped run without it")
    parser.add_argument("--record", action="store_true", help="write the figures into the run's model card too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(given.run, device="cpu")
    store = _store(given.crops, given.work)
    chosen = unseen_rows(run, store)[: given.nodules]
    nodules = Nodules(run, store, chosen, random_blocks(RANDOM_MAPS, len(chosen), seed=0))
    table = pd.read_csv(RESULTS) if given.run is None and RESULTS.is_file() else pd.DataFrame()
    for name, target in [*((name, "malignancy") for name in given.methods), *((DEFAULT, one) for one in given.targets)]:
        kind, options = VARIANTS[name]
        figures = nodules.score(make_method(run, kind, options), target)
        row = {"method": name, "target": target, "nodules": len(nodules.table)} | figures
        print(row, flush=True)
        table = pd.concat([table, pd.DataFrame([row])]).drop_duplicates(["method", "target"], keep="last")
        write_text(RESULTS, table.to_csv(index=False, lineterminator="\n", float_format="%.3f"))
    if given.record:
        record(run, (_for_the_card(row) for row in table.to_dict("records")))


def record(run: Run, rows: Iterable[dict[str, Any]]) -> None:
    """Write figures of maps into the run's model card: of malignancy by method, and of other targets.

    Args:
        run: in its folder.
        rows: ``method``, ``target``, ``nodules``, ``passes_lung`` and ``passes_blur`` with their intervals; where they
            are known also ``others_lung`` and ``others_blur``, ``rho`` and ``inside``.
    """
    maps: dict[str, dict[str, Any]] = {"maps": {}, "maps_of_targets": {}}
    for row in rows:
        method, target = row.pop("method"), row.pop("target")
        if target == "malignancy":
            maps["maps"][method] = row
        else:
            maps["maps_of_targets"][target] = {"method": method} | row
    run.record(maps, run.predictions)


def _for_the_card(row: dict[Any, Any]) -> dict[str, Any]:
    """One line of the table as a model card shows it, rounded as in the table."""
    found = {name: round(float(row[name]), 3) for name in ("rho", "inside") if pd.notna(row[name])}
    for name in ("passes_lung", "passes_blur", "others_lung", "others_blur"):
        keys = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
        if pd.notna(row[name]):
            found[name] = {key: round(float(row[column]), 3) for key, column in keys.items()}
    return {name: row[name] for name in ("method", "target")} | {"nodules": int(row["nodules"])} | found


def unseen_rows(run: Run, store: NoduleStore) -> np.ndarray:
    """Rows of nodules of three readers or more whose patients the run has not seen, in a random order."""
    table = store.table
    unseen = np.array([not run.in_sample(str(patient)) for patient in table["patient_id"]])
    return np.random.default_rng(0).permutation(np.flatnonzero(unseen & (table["n_readers"] > 2)))


class Nodules:
    """Images of nodules about each mark, and the scores of their random maps.

    Args:
        run: what the maps explain.
        store: single slices of nodules.
        rows: those of the nodules.
        random: random maps (map, nodule, row, column).

    Attributes:
        images: about each mark (mark, nodule, C, H, W).
        table: nodule_id and patient_id of every nodule.
    """

    def __init__(self, run: Run, store: NoduleStore, rows: np.ndarray, random: Tensor) -> None:
        self._run = run
        self.table = store.table.iloc[rows][["nodule_id", "patient_id"]].reset_index(drop=True)
        patches = Patches(store, rows, beyond=run.views.beyond)[rows]
        self._places = []
        for posterior, left in MARKS_MM:
            mark = torch.tensor([0.0, posterior, left]).expand(len(rows), 3)
            self._places.append(mark + run.recentre(patches, mark))
        self.images = [render_own_views(patches, run.views, centres_mm=place)[:, 0] for place in self._places]
        self._masks = readers_masks(store, rows, run.views, self._places[0])
        self._random = [self._batch(maps, 0) for maps in random]

    def _batch(self, maps: Tensor, target: int) -> ExplanationBatch:
        return ExplanationBatch(self.images[0], maps, self._run.model, target=target, views=self._run.views)

    def score(self, method: Attribution, target: str = "malignancy") -> dict[str, float]:
        """Figures of one method; of other targets than malignancy, what removal shows alone."""
        if target != "malignancy":
            removed = self.removal(self.explain(method, target), target)
            return {key: value for name in METRICS for key, value in _passes(name, removed).items()}
        index = self._index(target)
        start = time.process_time()
        first = self.explain(method)
        spent = time.process_time() - start
        found = self.measure(method, first)
        figures: dict[str, float] = {}
        for name, metric in METRICS.items():
            figures |= _passes(name, dict(found.items()))
            rolled = (self._batch(first.roll(k + 1, dims=0), index) for k in range(OTHERS))
            others = np.array([metric.score(batch) for batch in rolled])
            figures |= _share(f"others_{name}", found[f"fidelity_{name}"].to_numpy() > others.max(axis=0))
        return figures | summary(dict(found.items())) | {"passes_cost": spent / self._one_pass()}

    def measure(self, method: Attribution, first: Tensor | None = None) -> pd.DataFrame:
        """Figures of every nodule's map of malignancy.

        :meth:`removal`, what a moved mark changes, and the share inside the outline.

        Args:
            method: what makes the maps.
            first: maps of the first mark, where they are there already.
        """
        first = self.explain(method) if first is None else first
        inside = EnergyInside().score(ExplanationBatch(self.images[0], first, masks=self._masks))
        return self.table.assign(**self.removal(first), **self._moved(method, first), inside=inside)

    def removal(self, maps: Tensor, target: str = "malignancy") -> dict[str, np.ndarray]:
        """Fidelity of maps, and whether it is ahead of all random maps, with each fill (nodule,)."""
        index, columns = self._index(target), {}
        batch = self._batch(maps, index)
        for name, metric in METRICS.items():
            own = metric.score(batch)
            chance = np.array([metric.score(random.for_target(index, "identity")) for random in self._random])
            passed = [percentile(value, chance[:, k]) >= PERCENTILE_NEEDED for k, value in enumerate(own)]
            columns |= {f"fidelity_{name}": own, f"passes_{name}": np.array(passed)}
        return columns

    def _index(self, target: str) -> int:
        return list(self._run.target_names).index(target)

    def explain(self, method: Attribution, target: str = "malignancy", mark: int = 0) -> Tensor:
        """Maps (nodule, H, W) of the images about a mark."""
        images, index = self.images[mark], self._index(target)
        size = (images.shape[2], images.shape[3])
        return torch.cat([method.attribute(block, index, size) for block in images.split(TOGETHER)])

    def _moved(self, method: Attribution, first: Tensor) -> dict[str, np.ndarray]:
        """Of each mark aside, against the first mark's map: rank correlation, sign changes, and shift of the peak."""
        columns = {}
        side = self._run.views.field_of_view_mm
        for number in range(1, len(MARKS_MM)):
            moved = (self._places[number] - self._places[0])[:, 1:]
            seen, shown = _about(self.explain(method, mark=number), moved, side)
            rho, signs, peaks = [], [], []
            for a, b, both in zip(first, seen, shown, strict=True):
                rho.append(float(spearman(a[both][None], b[both][None])[0]))
                strong = both & (a.abs() >= STRONG * a.abs().max())
                signs.append(float((a[strong].sign() != b[strong].sign()).double().mean()))
                found = [np.unravel_index(int(one.where(both, -torch.inf).argmax()), one.shape) for one in (a, b)]
                peaks.append(float(np.hypot(*np.subtract(*found))) * side / len(a))
            for name, values in (("rho", rho), ("sign", signs), ("peak_mm", peaks)):
                columns[f"{name}_{number}"] = np.array(values)
        return columns

    def _one_pass(self) -> float:
        start = time.process_time()
        with torch.inference_mode():
            for block in self.images[0].split(TOGETHER):
                self._run.model(block)
        return time.process_time() - start


def random_blocks(count: int, nodules: int, seed: int) -> Tensor:
    """Random maps (map, nodule, row, column)."""
    return torch.rand(count, nodules, *RANDOM_GRID, generator=torch.Generator().manual_seed(seed))


def summary(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Figures of all nodules out of columns of :meth:`Nodules.measure`: of a moved mark, and the share inside."""
    rho, signs, peaks = (
        np.stack([found[f"{name}_{number}"] for number in range(1, len(MARKS_MM))])
        for name in ("rho", "sign", "peak_mm")
    )
    return {
        "rho": float(np.nanmedian(rho)),
        "sign": float(np.nanmean(signs)),
        "peak_mm": float(np.median(peaks)),
        "inside": float(np.nanmean(found["inside"])),
    }


def _about(maps: Tensor, moved_mm: Tensor, side_mm: float) -> tuple[Tensor, Tensor]:
    """Maps (nodule, H, W) of images that were moved by (row, column) mm, moved back; and where they show something."""
    along = ((torch.arange(maps.shape[1]) + 0.5) / maps.shape[1] - 0.5) * side_mm
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    y, x = rows - moved_mm[:, 0, None, None], columns - moved_mm[:, 1, None, None]
    found = grid_sample(maps[:, None], torch.stack([x, y], dim=-1) / (side_mm / 2), align_corners=False)[:, 0]
    return found, (x.abs() < side_mm / 2) & (y.abs() < side_mm / 2)


def _passes(fill: str, found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Share of the maps that pass with a fill."""
    return _share(f"passes_{fill}", np.asarray(found[f"passes_{fill}"]))


def _share(name: str, passed: np.ndarray) -> dict[str, float]:
    found = binomtest(int(np.sum(passed)), len(passed)).proportion_ci(method="wilson")
    return {name: float(np.mean(passed)), f"{name}_low": found.low, f"{name}_high": found.high}


def _store(crops: Path, work: Path) -> NoduleStore:
    folder = work / "store"
    if not folder.is_dir():
        import_crops(crops, folder)
    return NoduleStore(folder)


if __name__ == "__main__":
    main()
