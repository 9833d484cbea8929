"""Transformers at their real size on a GPU beside one CPU thread: a forward pass, a training step, an explained nodule.

    python benchmarks/gpu.py [MODEL …]

Models and parts are those of real_size.py. `ratio` is the CPU's time to the GPU's, the fastest of three each, after one
that is not counted. `bf16_difference` is that of a CDAM map of the network in bf16 to the map in float32: the largest
difference, in units of the largest value; below 0.01, the map may be computed in bf16. Without a GPU it says so and
ends with 2.

Writes results/gpu.csv, with the card's name.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from real_size import METHOD, MODELS, REPEATS, TARGET, explain, explain_with_trust, forward, real_run, training_step

from ctxai.files import write_text
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "gpu.csv"


def parts(run: Run) -> dict[str, Callable[[], Any]]:
    """What is timed; the training step last, since it changes weights and mode."""
    step: list[Callable[[], None]] = []

    def train() -> None:
        step[:] = step or [training_step(run)]
        step[0]()

    return {
        "forward pass": partial(forward, run),
        "explained nodule": partial(explain, run),
        "explained nodule with trust": partial(explain_with_trust, run),
        "training step": train,
    }


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """The fastest of several calls, after one that is not counted."""
    taken = []
    for _ in range(1 + repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def bf16_difference(run: Run) -> float:
    """Largest difference of the map of the network in bf16, in units of the largest value in float32.

    Methods switch autocast off, so the weights themselves are rounded; the method's own arithmetic follows them.
    """
    found = explain(run)
    plain = found.image_maps[METHOD, TARGET]
    method = make_method(replace(run, model=copy.deepcopy(run.model).bfloat16()), METHOD)
    rounded = method.attribute(found.images.to(run.model.device), TARGET).cpu()
    return float((rounded - plain).abs().max() / plain.abs().max())


def main() -> int:
    """Time every part of every model on both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help=f"some of {', '.join(MODELS)}")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("error: no GPU that PyTorch can use; run this on a machine with one", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    lines = []
    for model in given.models or MODELS:
        difference = bf16_difference(real_run(MODELS[model]).to("cuda"))
        here, there = parts(real_run(MODELS[model])), parts(real_run(MODELS[model]).to("cuda"))
        for part in here:
            cpu, gpu = seconds(here[part], 1), seconds(there[part], REPEATS)
            lines.append(
                {
                    "card": torch.cuda.get_device_name(),
                    "model": model,
                    "part": part,
                    "cpu_seconds": cpu,
                    "gpu_seconds": gpu,
                    "ratio": cpu / gpu,
                    "bf16_difference": difference,
                }
            )
            print(lines[-1], flush=True)
    write_text(RESULTS, pd.DataFrame(lines).to_csv(index=False, lineterminator="\n", float_format="%.4g"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
