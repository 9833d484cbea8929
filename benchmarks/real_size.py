"""Cost of vision transformers at their real size, in passes, processor time and memory, on one CPU thread.

    python benchmarks/real_size.py [MODEL …]

Random weights, images of 224 pixels, one axial view of one patch. A forward pass is one image through the network.
Every part is measured in a process of its own, beside a forward pass of the same process: `ratio` is its processor time
to that of a forward pass, `memory_ratio` its peak memory to that of a process which does nothing but forward passes. A
training step is forward, backward and AdamW on four images, with all weights learning. The explained nodule is its
prediction and one CDAM map of malignancy; with trust, the check of the map too.

Writes results/real_size.csv; a model that is measured again replaces its lines.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from ctxai.data.settings import ViewConfig
from ctxai.evaluate.map_quality import MapReliability
from ctxai.explain.network import find_vit
from ctxai.files import write_text
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.optim import parameter_groups
from ctxai.models.settings import BackboneConfig
from ctxai.run.calibration import Calibration
from ctxai.run.config import RunConfig
from ctxai.run.explanation import PatchExplanation, explain_patch
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "real_size.csv"
MODELS = {
    "ViT-S/16": "vit_small_patch16_224",
    "ViT-S/8": "vit_small_patch8_224",
    "ViT-B/16": "vit_base_patch16_224",
    "DINOv2 ViT-S/14 reg": "vit_small_patch14_reg4_dinov2",
    "DINOv3 ViT-S/16": "vit_small_patch16_dinov3",
}
PIXELS, BATCH, REPEATS = 224, 4, 3
TARGET, METHOD = "malignancy", "cdam"


def real_run(name: str) -> Run:
    """An untrained run of one of timm's transformers, with nine outputs on one axial image."""
    torch.manual_seed(0)
    views = ViewConfig(views=("axial",), pixels=PIXELS)
    config = RunConfig(views=views, backbone=BackboneConfig(name, patch_size=None, drop_path_rate=0.0))
    return Run(name, config, config.make_model().eval(), Calibration(), {})


def patch() -> np.ndarray:
    """A ball of soft tissue of 12 mm in lung, (superior, posterior, left), HU."""
    distance = np.linalg.norm(np.indices((64, 64, 64)) - 31.5, axis=0)
    return np.where(distance < 6, 30, -850).astype(np.int16)


def images(count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Random images (N, 3, pixels, pixels)."""
    return torch.randn(count, 3, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0)).to(device)


@torch.inference_mode()
def forward(run: Run) -> None:
    """One image through the network."""
    run.model(images(1, run.model.device))


def training_step(run: Run) -> Callable[[], None]:
    """A step of four images, ready to be done."""
    assert isinstance(run.model, NoduleClassifier)
    model = run.model.train()
    optimizer = torch.optim.AdamW(parameter_groups(model, model.backbone, model.optim, 1.0))
    batch, targets = images(BATCH, model.device), torch.full((BATCH, 9), 0.5, device=model.device)

    def step() -> None:
        optimizer.zero_grad()
        model.training_step((batch, targets), 0).backward()
        optimizer.step()

    return step


def explain(run: Run) -> PatchExplanation:
    """Prediction and one map."""
    return explain_patch(run, patch(), [make_method(run, METHOD)], [TARGET], run.views.views)


def explain_with_trust(run: Run) -> None:
    """Prediction, one map and its check."""
    found = explain(run)
    reliability = MapReliability(run.model, found.images.to(run.model.device), run.views, run.target_names)
    reliability.assess(make_method(run, METHOD), TARGET, found.image_maps[METHOD, TARGET].to(run.model.device))


def measure(part: str, name: str) -> dict[str, Any]:
    """Cost of a part in this process; passes are counted where images enter the network."""
    torch.set_num_threads(1)
    run, passes = real_run(name), 0
    entrance = type(find_vit(run.model).patch_embed)

    def count(module: nn.Module, given: tuple[torch.Tensor, ...], _output: object) -> None:
        nonlocal passes
        passes += len(given[0]) if type(module) is entrance else 0

    forward(run)
    one = min(_seconds(lambda: forward(run)) for _ in range(REPEATS))
    work = {
        "forward pass": lambda: forward(run),
        "training step": training_step(run) if part == "training step" else None,
        "explained nodule": lambda: explain(run),
        "explained nodule with trust": lambda: explain_with_trust(run),
    }[part]
    assert work is not None
    hook = register_module_forward_hook(count)  # of every module: models with shuffled weights are copies
    seconds = _seconds(work)
    hook.remove()
    return {
        "parameters_millions": sum(value.numel() for value in run.model.parameters()) / 1e6,
        "images": BATCH if part == "training step" else 1,
        "passes": passes,
        "cpu_seconds": seconds,
        "ratio": seconds / one,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure every part of every model in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help=f"some of {', '.join(MODELS)}")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(measure(given.part, given.models[0])))
        return
    for model in given.models or MODELS:
        lines: list[dict[str, Any]] = []
        for part in ("forward pass", "training step", "explained nodule", "explained nodule with trust"):
            command = [sys.executable, __file__, MODELS[model], "--part", part]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            lines.append({"model": model, "part": part, **json.loads(done.stdout.splitlines()[-1])})
            lines[-1]["memory_ratio"] = lines[-1]["peak_mb"] / lines[0]["peak_mb"]
            print(lines[-1], flush=True)
        found = pd.DataFrame(lines)
        if RESULTS.is_file():
            before = pd.read_csv(RESULTS)
            found = pd.concat([before[before["model"] != model], found])
        write_text(RESULTS, found.to_csv(index=False, lineterminator="\n", float_format="%.3f"))


if __name__ == "__main__":
    main()
