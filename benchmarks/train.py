"""Speed of `ctxai train` beside a bare PyTorch loop of the same model, images and optimiser, in turns in one process.

    python benchmarks/train.py [--nodules N] [--epochs N] [--rounds N] [--workers N] [--csv FILE]

Prints samples per second of both, their ratio (median of the rounds), the share of training time spent waiting for
images, and the highest memory; asserts nothing. Images come from a synthetic store, so nothing is downloaded. The
model is ViT-Tiny/8 with two blocks at 64 px on a CPU. On a GPU it is ViT-S/8 at 224 px in bf16, the loop does what
timm's own training script does in a step (autocast, clipping, AdamW, schedule), and the share of the card's peak
(``--peak_tflops``) that the products reach is given too. Averaging of the weights is off in both.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.labels import TARGETS, column_of
from ctxai.data.loader import Batch, TrainingLoader
from ctxai.data.settings import AugmentConfig, FoldConfig, ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.files import atomic_path
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.optim import make_optimizer, parameter_groups
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.training.settings import ComputeConfig, Execution
from ctxai.training.trainer import fit

RESULTS = Path(__file__).parent / "results" / "train.csv"
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
BACKBONE = BackboneConfig("vit_small_patch8_224", None) if GPU else BackboneConfig(depth=2)
VIEWS = ViewConfig(pixels=224 if GPU else 64)
PRECISION = "bf16" if GPU else "fp32"


def make_store(folder: Path, nodules: int) -> Path:
    """Noise with labels: speed does not depend on what is in a patch."""
    import pandas as pd

    generator = np.random.default_rng(0)
    store = NoduleStore.create(folder, nodules, (64, 64, 64))
    for row in range(nodules):
        hu = generator.integers(-1000, 400, (64, 64, 64)).astype(np.int16)
        store.write(row, hu, np.zeros(hu.shape, np.uint8), np.ones(hu.shape, np.uint8))
    table = pd.DataFrame({"nodule_id": [f"N{row}" for row in range(nodules)]})
    table["patient_id"] = table["series_uid"] = [f"{row}" for row in range(nodules)]
    table["fold"], table["label_malignancy"] = np.arange(nodules) % 10 // 2, np.arange(nodules) % 2 * 1.0
    for target in TARGETS:
        table[column_of(target)] = generator.uniform(1, 5, nodules)
    store.write_table(table.assign(n_readers=4, fault="", x=0.0, y=0.0, z=0.0))
    return folder


class Timed(TrainingLoader):
    """A loader that counts the time that its user waits for the next batch."""

    waited = 0.0

    def __iter__(self) -> Iterator[Batch]:
        batches = super().__iter__()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch


@dataclass(frozen=True)
class Measured:
    """Of one training: seconds of its steps, seconds waiting for images, images."""

    seconds: float
    waited: float
    images: int


def prepare(store: Path, optim: OptimConfig, workers: int) -> tuple[NoduleClassifier, NoduleDataModule]:
    """The same model and images for either way."""
    data = NoduleDataModule(store, VIEWS, AugmentConfig(), FoldConfig(), batch_size=optim.batch_size, workers=workers)
    data._training = Timed(data._training.views, optim.batch_size, workers=workers)
    torch.manual_seed(0)
    model = NoduleClassifier(BACKBONE, VIEWS.pixels, optim)
    model.fit_scaler(data.targets[data.split.training])
    return model, data


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if GPU:
        torch.cuda.synchronize()


def ours(store: Path, optim: OptimConfig, workers: int) -> Measured:
    """As `ctxai train` does it; the time is that between the trainer's first and last step."""
    model, data = prepare(store, optim, workers)
    times: list[float] = []

    def note() -> None:
        synchronise()
        times.append(time.perf_counter())

    model.on_train_start, model.on_train_end = note, note
    with tempfile.TemporaryDirectory() as folder:
        fit(model, data, Path(folder), execution=Execution(accelerator=DEVICE), compute=ComputeConfig(PRECISION))
    return Measured(times[1] - times[0], data._training.waited, optim.epochs * len(data.split.training))


def bare(store: Path, optim: OptimConfig, workers: int) -> Measured:
    """A plain loop over the same batches."""
    model, data = prepare(store, optim, workers)
    model.to(DEVICE).train()
    loader = data._training
    found = make_optimizer(parameter_groups(model, model.backbone, optim), optim, optim.epochs * len(loader))
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    synchronise()
    start = time.perf_counter()
    for epoch in range(optim.epochs):
        loader.set_epoch(epoch)
        for images, targets in loader:
            images, targets = images.to(DEVICE, non_blocking=True), targets.to(DEVICE, non_blocking=True)
            with torch.autocast(DEVICE, torch.bfloat16, enabled=GPU):
                loss = model._loss(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), optim.gradient_clip)
            optimizer.step()
            schedule.step()
    synchronise()
    return Measured(time.perf_counter() - start, loader.waited, optim.epochs * len(data.split.training))


def flops_per_image() -> int:
    """Of the products of one forward and backward pass."""
    model = NoduleClassifier(BACKBONE, VIEWS.pixels, OptimConfig()).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, VIEWS.pixels, VIEWS.pixels)).sum().backward()
    return counter.get_total_flops()


def main() -> None:
    """Measure both in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodules", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=64 if GPU else 16)
    parser.add_argument("--peak_tflops", type=float, default=989.0, help="of the card, dense bf16 (H100, H200: 989)")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    optim = OptimConfig(epochs=options.epochs, batch_size=options.batch_size, ema_decay=0.0)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", options.nodules)
        warm = replace(optim, epochs=1)
        ours(store, warm, options.workers), bare(store, warm, options.workers)
        rounds = [
            (ours(store, optim, options.workers), bare(store, optim, options.workers)) for _ in range(options.rounds)
        ]
    rates = [[m.images / m.seconds for m in pair] for pair in rounds]
    ratios = [a / b for a, b in rates]
    row = {
        "device": torch.cuda.get_device_name() if GPU else "CPU, 1 thread",
        "model": f"{BACKBONE.name} {VIEWS.pixels} px {PRECISION}",
        "batch": options.batch_size,
        "workers": options.workers,
        "images_per_s": round(statistics.median(a for a, _ in rates), 1),
        "bare_loop_images_per_s": round(statistics.median(b for _, b in rates), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3),
        "waiting_share": round(statistics.median(a.waited / a.seconds for a, _ in rounds), 4),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_gpu_mb": round(torch.cuda.max_memory_allocated() / 2**20) if GPU else "",
        "mfu": round(statistics.median(a for a, _ in rates) * flops_per_image() / options.peak_tflops / 1e12, 3)
        if GPU
        else "",
        "rounds": options.rounds,
    }
    for name, value in row.items():
        print(f"{name:24} {value}")
    with atomic_path(options.csv) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
