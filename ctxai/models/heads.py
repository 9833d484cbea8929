"""Read-outs of a nodule's embedding: one malignancy logit and the standardised biomarkers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

from ctxai.data.labels import BIOMARKERS


class NoduleHeads(nn.Module):
    """(N, width) → (N, 9): a linear malignancy logit, then a two-layer perceptron's biomarkers as z-scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.malignancy = nn.Linear(width, 1)
        self.biomarkers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, len(BIOMARKERS)))

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Logit first, then z-scores in the order of `BIOMARKERS`."""
        return torch.cat([self.malignancy(embedding), self.biomarkers(embedding)], dim=1)


def masked_loss(outputs: torch.Tensor, targets: torch.Tensor, biomarker_weight: float) -> torch.Tensor:
    """Binary cross-entropy of malignancy plus Huber loss (delta 1) of the biomarkers; NaN targets count nothing.

    Args:
        outputs: (N, 9), malignancy logit and z-scores.
        targets: (N, 9), malignancy probability in [0, 1] and z-scores.
        biomarker_weight: weight of the mean biomarker loss.
    """
    known = ~torch.isnan(targets)
    filled = torch.where(known, targets, torch.zeros_like(targets))
    malignancy = binary_cross_entropy_with_logits(outputs[:, 0], filled[:, 0], reduction="none")
    biomarkers = huber_loss(outputs[:, 1:], filled[:, 1:], reduction="none")
    return _masked_mean(malignancy, known[:, 0]) + biomarker_weight * _masked_mean(biomarkers, known[:, 1:])


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
