"""Optimiser, learning rates per layer and over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from ctxai.errors import InputError
from ctxai.models.backbone import ViT


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


def rate_factor(config: OptimConfig, steps: int) -> Callable[[int], float]:
    """The schedule as a function of the step, counted from 0: learning rate divided by ``config.learning_rate``."""
    schedule = config.schedule
    if schedule.kind == "cosine":
        warmup = max(1, round(config.warmup_fraction * steps))

        def cosine(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

        return cosine
    if schedule.kind == "cyclic":
        up = 0.5 * steps / schedule.cycles
        whole, low = 4 * up, 1 / schedule.divisor

        def cyclic(step: int) -> float:
            cycle, place = divmod(step, whole)
            height = place / up if place <= up else (whole - place) / (whole - up)
            return low + (1 - low) * height / 2**cycle

        return cyclic
    if schedule.kind == "drops":
        points = [round(part * steps) for part in schedule.drops]
        return lambda step: 0.1 ** sum(step >= point for point in points)
    return lambda step: 1.0


def parameter_groups(
    model: nn.Module, backbone: ViT, config: OptimConfig, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Learning parameters of a classifier, grouped by weight decay and by depth.

    Biases, norms, tokens and positions do not decay. The learning rate falls by ``layer_decay`` with every layer
    away from the heads, as in BEiT (Bao et al. 2022): heads and the final norm keep it, the last block has it times
    ``layer_decay``, the embeddings times ``layer_decay`` to the power of the number of blocks plus one.

    Args:
        model: heads and backbone; the backbone is its attribute ``backbone``.
        backbone: the vision transformer in it.
        config: learning rate and weight decay.
        layer_decay: factor per layer; 1 treats all alike.
    """
    undecayed = backbone.no_weight_decay()
    last = len(backbone.blocks) + 1
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decayed = parameter.ndim > 1 and name.removeprefix("backbone.") not in undecayed
        depth = _depth(name, last) if layer_decay != 1.0 else last
        groups.setdefault((decayed, depth), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decayed else 0.0,
            "lr": config.learning_rate * layer_decay ** (last - depth),
        }
        for (decayed, depth), parameters in sorted(groups.items(), key=lambda item: (not item[0][0], item[0][1]))
    ]


def _depth(name: str, last: int) -> int:
    """0 for the embeddings, 1 … for the blocks, ``last`` for what follows them."""
    path = name.split(".")
    if path[:2] == ["backbone", "blocks"]:
        return int(path[2]) + 1
    after = path[0] != "backbone" or path[1] in {"norm", "fc_norm"}
    return last if after else 0


def make_optimizer(groups: list[dict[str, Any]], config: OptimConfig, steps: int) -> OptimizerLRSchedulerConfig:
    """AdamW and its schedule, in the form that a LightningModule's ``configure_optimizers`` returns.

    Args:
        groups: of :func:`parameter_groups`.
        config: betas and schedule.
        steps: of the whole training.
    """
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(config, steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
