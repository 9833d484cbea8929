"""Read-outs of a nodule's embedding, malignancy and standardised biomarkers, and what they are trained to minimise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

from ctxai.data.labels import TARGETS


class NoduleHeads(nn.Module):
    """(N, width) → (N, K): a linear malignancy output, then a two-layer perceptron's biomarkers as z-scores.

    Args:
        width: of the embedding.
        targets: what is predicted, in the order of `TARGETS`.
    """

    def __init__(self, width: int, targets: Sequence[str] = TARGETS) -> None:
        super().__init__()
        biomarkers = len(targets) - ("malignancy" in targets)
        self.malignancy = nn.Linear(width, 1) if "malignancy" in targets else None
        self.biomarkers = (
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, biomarkers)) if biomarkers else None
        )

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Malignancy first where it is predicted, then z-scores in the order of `BIOMARKERS`."""
        heads = [head for head in (self.malignancy, self.biomarkers) if head is not None]
        return torch.cat([head(embedding) for head in heads], dim=1)


def malignancy_loss(outputs: torch.Tensor, targets: torch.Tensor, class_weights: Sequence[float]) -> torch.Tensor:
    """Mean binary cross-entropy of logits (N,) with probabilities (N,), NaN where unknown.

    Args:
        outputs: logits.
        targets: in [0, 1].
        class_weights: of benign and of malignant.
    """
    known, filled = _known(targets)
    loss = binary_cross_entropy_with_logits(outputs, filled, reduction="none")
    return _mean(loss, known * torch.lerp(*(loss.new_tensor(weight) for weight in class_weights), filled))


def rating_loss(
    outputs: torch.Tensor, targets: torch.Tensor, delta: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean Huber loss of outputs with targets of the same shape, NaN where unknown.

    Args:
        outputs: any shape.
        targets: the same shape and units.
        delta: error from which the loss grows linearly.
        weights: of each element; none weighs all alike.
    """
    known, filled = _known(targets)
    loss = huber_loss(outputs, filled, reduction="none", delta=delta)
    return _mean(loss, known if weights is None else known * torch.where(known, weights, torch.zeros_like(loss)))


def _known(targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    known = ~torch.isnan(targets)
    return known, torch.where(known, targets, torch.zeros_like(targets))


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the batch of all processes.

    A process returns its own part times their number, since their gradients are averaged.
    """
    total = weights.sum()
    if distributed.is_available() and distributed.is_initialized() and torch.is_grad_enabled():
        total = total.to(values.dtype)
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    return (values * weights).sum() / total.clamp(min=1e-12 if total.is_floating_point() else 1)
