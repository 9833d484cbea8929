"""What a removal curve costs beside Quantus' and beside a plain loop, in the same run, on the same images and maps.

    python benchmarks/metrics.py [--images 1 8 32] [--repeats 3] [--threads 1] [--run RUN_DIR] [--out FILE]

One curve, three ways: the target's output after every 32nd part of the pixels, the most important first, is set to 0.
Here it is one stream of batches; Quantus' PixelFlipping runs all images together, step after step; a loop runs one
changed image at a time. That all three give the same numbers is checked. The curves of both orders, which fidelity,
ABPC, insertion and deletion share, stand beside. Weights are the shipped run's, images are noise: cost does not depend
on them. Time is processor time, the least of the repeats, in which all ways take turns; the ratio is to the first way.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import quantus
import torch
from torch import nn

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.perturb import outputs_after_removal, ranks, steps_of
from ctxai.explain import CDAM
from ctxai.run.run import SHIPPED, Run

STEPS = 32


class Grey(nn.Module):
    """The run's model for images of one channel; Quantus removes pixels channel by channel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs (M, K) of images (M, 1, H, W)."""
        return self.model(images.expand(-1, 3, -1, -1))


def ways(run: Run, model: nn.Module, images: torch.Tensor, maps: torch.Tensor) -> dict[str, Callable[[], np.ndarray]]:
    """Functions to the target's outputs after every step, (N, steps), by name."""

    def batch() -> ExplanationBatch:
        return ExplanationBatch(images, maps, model, views=run.views)

    counts = steps_of(batch(), STEPS)[1:]
    places = ranks(batch().pixel_maps.flatten(1), "MoRF").view(len(images), *images.shape[2:])

    def stream(orders: tuple[str, ...]) -> np.ndarray:
        return outputs_after_removal(batch(), orders, counts, "zero")[0][..., 0].numpy()

    @torch.inference_mode()
    def one_by_one() -> np.ndarray:
        rows = []
        for image, place in zip(images, places, strict=True):
            changed = (image.where(place >= count, 0)[None] for count in counts)
            rows.append([float(model(one)[0, 0]) for one in changed])
        return np.array(rows)

    # Distinct ranks, since Quantus' sort is not stable.
    flipping = quantus.PixelFlipping(
        features_in_step=counts[0], perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    batch = {"x_batch": images.numpy(), "y_batch": np.zeros(len(images), int)}
    batch["a_batch"] = -places[:, None].numpy().astype(np.float32)

    def by_quantus() -> np.ndarray:
        return np.array(flipping(model=model, device="cpu", softmax=False, **batch))

    return {
        "ctxai, one stream": lambda: stream(("MoRF",)),
        "ctxai, one stream, both orders": lambda: stream(("MoRF", "LeRF")),
        "Quantus PixelFlipping": by_quantus,
        "one image at a time": one_by_one,
    }


def least_seconds(named: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, float]:
    """Processor seconds of each way, the least over rounds in which all take turns; their curves have to agree."""
    curves = {label: call() for label, call in named.items()}
    expected = next(iter(curves.values()))
    for label, curve in curves.items():
        if not np.allclose(curve, expected, atol=1e-4):
            raise SystemExit(f"{label}: the curve differs by up to {np.abs(curve - expected).max():.2g}")
    seconds = dict.fromkeys(named, float("inf"))
    for _ in range(repeats):
        for label, call in named.items():
            start = time.process_time()
            call()
            seconds[label] = min(seconds[label], time.process_time() - start)
    return seconds


def main() -> None:
    """Measure, print a table and write it as CSV when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = Run.load(options.run)
    rows = []
    for count in options.images:
        generator = torch.Generator().manual_seed(0)
        pixels = run.views.pixels
        images = torch.randn(count, 1, pixels, pixels, generator=generator)
        maps = CDAM(run.model).attribute(images.expand(-1, 3, -1, -1), 0)
        seconds = least_seconds(ways(run, Grey(run.model).eval(), images, maps), options.repeats)
        first = next(iter(seconds.values()))
        for label, spent in seconds.items():
            rows.append((run.name, count, STEPS, label, f"{spent:.3f}", f"{spent / first:.2f}"))
            print(f"{count:4} image(s)  {label:32} {spent:8.3f} s  {spent / first:6.2f} x")
    machine = (
        f"{platform.machine()}, {options.threads} thread(s), torch {torch.__version__}, quantus {quantus.__version__}"
    )
    print(machine, file=sys.stderr)
    if options.out is not None:
        with options.out.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("run", "images", "steps", "way", "seconds", "ratio"))
            writer.writerows(rows)
            writer.writerow(("machine", machine))


if __name__ == "__main__":
    main()
