"""Optimiser, learning rates per layer and over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ctxai.models.backbone import ViT
from ctxai.models.settings import OptimConfig

if TYPE_CHECKING:
    from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig


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
