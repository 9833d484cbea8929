"""How alike two rows of numbers are."""

from __future__ import annotations

import torch
from torch import Tensor


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of every row of two tensors (N, n), shape (N,) float64.

    Rows that are equal, number for number, give exactly 1, constant ones too; else a constant row gives NaN.
    """
    first, second = first.double(), second.double()
    equal = (first == second).all(dim=1)
    constant = (first == first[:, :1]).all(dim=1) | (second == second[:, :1]).all(dim=1)
    a = first - first.mean(dim=1, keepdim=True)
    b = second - second.mean(dim=1, keepdim=True)
    found = ((a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))).clamp(-1, 1)
    return found.where(~constant, float("nan")).where(~equal, 1.0)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of every row, as :func:`pearson`; ties share their mean rank."""
    return pearson(_ranked(first), _ranked(second))


def _ranked(rows: Tensor) -> Tensor:
    """Ranks of the numbers within each row, float64; NaN has none."""
    ranks = torch.full(rows.shape, float("nan"), dtype=torch.float64, device=rows.device)
    for row, found in zip(rows.detach(), ranks, strict=True):
        _, position, count = row.unique(return_inverse=True, return_counts=True)
        last = count.cumsum(0).double()
        found[:] = (last - (count - 1) / 2.0)[position]
    return ranks.where(~rows.isnan(), float("nan"))
