"""Cost of checking a map beside that of making it, in forward passes and processor time, for the shipped run.

    python benchmarks/check_cost.py CT_FOLDER

CT_FOLDER holds LIDC-IDRI-0001. One nodule, malignancy, the default methods. A forward pass is one image that enters the
patch embedding; gradients are in the processor's seconds alone. `ratio` is that of the passes to those of all maps.

Writes results/check_cost.csv.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

import ctxai
from ctxai.ct.patch import extract_patch
from ctxai.data.views import as_patches
from ctxai.evaluate.map_quality import FIDELITY, FIDELITY_BLUR, RANDOMISATION, STABILITIES, MapReliability
from ctxai.evaluate.metrics.faithfulness.fidelity import Fidelity
from ctxai.explain.network import find_vit
from ctxai.files import write_text
from ctxai.inference.nodules import candidates_of
from ctxai.run.explanation import explain_patch
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "check_cost.csv"
TARGET = "malignancy"
T = TypeVar("T")


class Meter:
    """Forward passes and processor seconds of each part."""

    def __init__(self, run: Run) -> None:
        self.rows: list[dict[str, object]] = []
        self._passes = 0
        self._entrance = type(find_vit(run.model).patch_embed)
        register_module_forward_hook(self._count)  # of every module, since models with shuffled weights are copies

    def _count(self, module: nn.Module, given: tuple[torch.Tensor, ...], _output: object) -> None:
        if type(module) is self._entrance:
            self._passes += len(given[0])

    def measure(self, method: str, part: str, work: Callable[[], T]) -> T:
        """Do some work, and note its cost."""
        before, start = self._passes, time.process_time()
        found = work()
        seconds = time.process_time() - start
        self.rows.append({"method": method, "part": part, "passes": self._passes - before, "cpu_seconds": seconds})
        return found


def main() -> None:
    """Measure every part and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ct", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run, ct = Run.open(device="cpu"), ctxai.open_series(given.ct)
    (nodule,) = candidates_of(ct, None)
    hu = extract_patch(ct, nodule.centre_lps).hu
    moved = run.recentre(hu[None])[0].double().numpy()
    hu = extract_patch(ct, nodule.centre_lps + moved[::-1]).hu
    run.predict(as_patches(hu)[None])
    meter = Meter(run)
    meter.measure("", "prediction", lambda: run.predict(as_patches(hu)[None]))
    found = explain_patch(run, hu, [], [TARGET], run.views.views)
    images, index = found.images, list(run.target_names).index(TARGET)
    reliability = MapReliability(run.model, images, run.views, run.target_names)
    meter.measure("", "check: random maps", lambda: _random(reliability))
    for name in run.default_methods:
        method = make_method(run, name)
        maps = meter.measure(name, "map", lambda method=method: method.attribute(images, index))
        batch = reliability._batch(maps, target=index, method=method)
        for metric in (FIDELITY, FIDELITY_BLUR, *STABILITIES, RANDOMISATION):
            fill = f", {metric.fill}" if isinstance(metric, Fidelity) else ""
            meter.measure(name, f"check: {metric.name}{fill}", lambda metric=metric, batch=batch: metric.score(batch))
    table = pd.DataFrame(meter.rows)
    made = table.loc[table["part"] == "map", "passes"].sum()
    table["ratio"] = table["passes"] / made
    print(table.to_string(index=False))
    checks = table[table["part"].str.startswith("check")]
    print(f"all checks: {checks['passes'].sum()} passes, {checks['passes'].sum() / made:.1f} times the maps")
    write_text(RESULTS, table.to_csv(index=False, lineterminator="\n", float_format="%.3f"))


def _random(reliability: MapReliability) -> None:
    """The scores of the random maps, which are remembered."""
    chance = reliability._random.for_target(0, "identity")
    for metric in (FIDELITY, FIDELITY_BLUR):
        metric.score(chance)


if __name__ == "__main__":
    main()
