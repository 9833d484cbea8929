"""What an explanation costs, as a multiple of one forward pass without gradients of the same batch in the same run.

    python benchmarks/explain.py [--batch 2] [--repeats 3] [--threads 1] [--models NAME ...] [--out FILE]

Weights are random: cost does not depend on them. Time is processor time, so that other programs on the
machine matter little: the least of the repeats, with the pass and the methods taking turns. Memory is what PyTorch's
allocator holds at the peak beyond what it held before, again relative to the forward pass.

Goals, in forward passes, at 224 x 224 pixels: CDAM at most 1.0 and with nine targets at once at most 1.3; SmoothCDAM
with 50 draws at most 2.5; AGCAM, TokenTM and GenericAttribution at most 4; memory of the CDAM family at most 2;
TransformerAttribution per image of a batch no slower than alone. captum's estimators stand beside.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import captum.attr
import timm
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ctxai import explain

GOALS = {
    "CDAM": 1.0,
    "CDAM, 9 targets": 1.3,
    "SmoothCDAM, 50 draws": 2.5,
    "AGCAM": 4.0,
    "TokenTM": 4.0,
    "GenericAttribution": 4.0,
}
MEMORY_GOAL = 2.0
MEMORY_GOAL_FOR = ("CDAM", "CDAM, 9 targets", "SmoothCDAM, 50 draws", "IntegratedCDAM, 50 steps")


def calls(model: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], object]]:
    """The forward pass and every method that costs a moderate number of passes."""

    def forward() -> None:
        with torch.no_grad():
            model(images)

    nine = list(range(9))
    named: dict[str, Callable[[], object]] = {"forward": forward}
    for label, method, target in (
        ("CDAM", explain.CDAM(model), 0),
        ("CDAM, 9 targets", explain.CDAM(model), nine),
        ("SmoothCDAM, 50 draws", explain.SmoothCDAM(model), 0),
        ("SmoothCDAM, 50 draws, 9 targets", explain.SmoothCDAM(model), nine),
        ("IntegratedCDAM, 50 steps", explain.IntegratedCDAM(model), 0),
        ("AttentionMap", explain.AttentionMap(model), 0),
        ("AttentionRollout", explain.AttentionRollout(model), 0),
        ("GradCAM", explain.GradCAM(model), 0),
        ("AGCAM", explain.AGCAM(model), 0),
        ("GenericAttribution", explain.GenericAttribution(model), 0),
        ("TokenTM", explain.TokenTM(model), 0),
        ("PartialLRP", explain.PartialLRP(model), 0),
        ("TransformerAttribution", explain.TransformerAttribution(model), 0),
        ("InputXGradient", explain.InputXGradient(model), 0),
    ):
        named[label] = lambda method=method, target=target: method.attribute(images, target)
    alone = explain.TransformerAttribution(model)
    named["one image: TransformerAttribution"] = lambda: alone.attribute(images[:1], 0)
    return named


def peers(model: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], object]]:
    """captum's own estimators, one image batch per step so that they hold as little memory as the others."""
    gradients = captum.attr.IntegratedGradients(model)
    noise = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    size = len(images)
    return {
        "captum IntegratedGradients, 50 steps": lambda: gradients.attribute(
            images, target=0, n_steps=50, internal_batch_size=size
        ),
        "captum NoiseTunnel, 50 draws": lambda: noise.attribute(
            images, target=0, nt_samples=50, nt_samples_batch_size=1, stdevs=0.15
        ),
    }


def seconds_once(call: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def least_seconds(named: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Processor seconds of each call, the least over rounds in which all calls take turns."""
    seconds = dict.fromkeys(named, float("inf"))
    for call in named.values():
        call()
    for _ in range(repeats):
        for label, call in named.items():
            seconds[label] = min(seconds[label], seconds_once(call))
    return seconds


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that tensors made by ``call`` hold at one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    held = peak = 0
    for event in sorted(record.profiler.kineto_results.events(), key=lambda one: one.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def main() -> None:
    """Measure, print a table and write it as CSV when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vit_small_patch16_224", "vit_small_patch8_224"])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.models:
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=9).eval()
        images = torch.randn(options.batch, 3, 224, 224)
        named = calls(model, images)
        seconds = least_seconds(named, options.repeats)
        memory = {label: peak_bytes(call) for label, call in named.items()}
        for label in named:
            ratio, share = seconds[label] / seconds["forward"], memory[label] / memory["forward"]
            missed = ratio > GOALS.get(label, float("inf")) or (label in MEMORY_GOAL_FOR and share > MEMORY_GOAL)
            goal = GOALS.get(label, "")
            rows.append((name, options.batch, label, f"{seconds[label]:.3f}", f"{ratio:.2f}", goal, f"{share:.2f}"))
            print(f"{name:24} {label:36} {ratio:6.2f} x time  {share:6.2f} x memory {'  MISSED' if missed else ''}")
        for label, call in peers(model, images).items():  # minutes each: once, and their memory is a backward pass's
            spent = seconds_once(call)
            ratio = spent / seconds["forward"]
            rows.append((name, options.batch, label, f"{spent:.3f}", f"{ratio:.2f}", "", ""))
            print(f"{name:24} {label:36} {ratio:6.2f} x time")
    machine = f"{platform.machine()}, {options.threads} thread(s), torch {torch.__version__}, timm {timm.__version__}"
    print(machine, file=sys.stderr)
    if options.out is not None:
        with options.out.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("model", "batch", "method", "seconds", "forward_passes", "goal", "forward_memories"))
            writer.writerows(rows)
            writer.writerow(("machine", machine))


if __name__ == "__main__":
    main()
