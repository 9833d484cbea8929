"""Gates that can be exactly closed and still have gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.2
LOW, HIGH = -0.2, 1.0


def sample(logits: Tensor) -> Tensor:
    """Draw gates in [0, 1): a binary concrete variable, stretched to (-0.2, 1), negative values set to 0.

    Source: Louizos, Welling and Kingma, "Learning Sparse Neural Networks through L0 Regularization", ICLR 2018.
    """
    tiny = torch.finfo(logits.dtype).eps
    uniform = torch.rand_like(logits).clamp(tiny, 1 - tiny)
    concrete = torch.sigmoid((torch.logit(uniform) + logits) / TEMPERATURE)
    return (LOW + (HIGH - LOW) * concrete).clamp(0, 1)


def log_open(logits: Tensor) -> Tensor:
    """Logarithm of the probability that a gate is not 0."""
    return F.logsigmoid(logits - TEMPERATURE * math.log(-LOW / HIGH))
