"""Settings of optimisation and hardware: plain dataclasses, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ctxai.errors import InputError


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate goes over the steps of a training.

    Args:
        kind: cosine rises linearly and falls to zero as a cosine; cyclic goes up and down between a base rate and a
            peak that halves with every cycle (triangular2 of Smith, "Cyclical learning rates for training neural
            networks", 2017); drops divides by ten at given points; constant stays.
        cycles: of cyclic: the rate rises for a half and falls for one and a half of the steps divided by this number,
            so that the steps hold half as many whole cycles.
        divisor: of cyclic: the peak rate divided by the base rate.
        drops: of drops: the points, as parts of all steps.
    """

    kind: Literal["cosine", "cyclic", "drops", "constant"] = "cosine"
    cycles: int = 4
    divisor: float = 100.0
    drops: tuple[float, ...] = (0.4, 0.8)

    def __post_init__(self) -> None:
        if self.cycles < 1 or self.divisor < 1:
            raise InputError("optim.schedule: cycles and divisor have to be 1 or more")


@dataclass(frozen=True)
class OptimConfig:
    """A fixed training budget: AdamW, a schedule of the learning rate, and an average of the weights.

    Args:
        epochs: passes over the training nodules, one random view of each per pass.
        batch_size: images per step, over all devices and accumulated parts together.
        learning_rate: the highest of the schedule.
        weight_decay: of AdamW, on matrices only; with 0, AdamW is Adam.
        warmup_fraction: part of all steps that the learning rate rises over before a cosine.
        biomarker_weight: weight of the biomarkers' loss beside malignancy's.
        ema_decay: per-step decay of the exponential moving average that becomes the final weights; it starts
            half-way. 0 keeps the last weights.
        gradient_clip: largest gradient norm; 0 does not clip.
        betas: decay of AdamW's averages of the gradient and of its square; the second is below the usual 0.999
            because budgets here are hundreds to thousands of steps.
        schedule: the learning rate over the steps.
        patience: epochs without a lower validation loss after which training stops and the best epoch's weights are
            kept; the average then starts at once. 0 trains to the end and looks at no held-out nodule. With it the
            validation fold has selected, and calibration on the same fold no longer guarantees its coverage.
    """

    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_fraction: float = 0.1
    biomarker_weight: float = 1.0
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    patience: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise InputError("optim: epochs, batch_size and learning_rate have to be positive")


@dataclass(frozen=True)
class ComputeConfig:
    """How training is computed; what is learnt stays the same but for rounding and the order of dropout.

    Args:
        precision: of the products while training; bf16 and fp16 keep the weights themselves in single precision.
        compile: run the backbone through torch.compile, which pays on a GPU and needs a C++ compiler on a CPU.
        accumulate: parts that a step's images are cut into, for less memory. The loss is the mean of the parts'.
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    accumulate: int = 1
