"""Read-outs of targets of one's own: outputs, losses and units by the kind of each target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from ctxai.data.targets import Target, TargetTable
from ctxai.errors import InputError
from ctxai.models.heads import class_loss, malignancy_loss, rating_loss, share_loss


class TargetHeads(nn.Module):
    """(N, width) → (N, K): the outputs of a table's targets, in its order.

    A binary target has a logit; a multiclass one a logit for each class; an ordinal one a logit that cut-offs of its
    own turn into the probabilities of lying above each step (proportional odds, McCullagh 1980, "Regression models for
    ordinal data"); a regression target a z-score of the training nodules, by a two-layer perceptron. The buffers
    ``mean`` and ``std`` (target,) turn z-scores into units.

    Args:
        width: of the embedding.
        table: the targets.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, width: int, table: TargetTable) -> None:
        super().__init__()
        self.table = table
        self.parts = nn.ModuleList(_head(width, target) for target in table)
        self.steps = nn.ParameterDict(
            {one.name: torch.linspace(2, -2, len(one.cut_offs)) for one in table if one.kind == "ordinal"}
        )
        self.register_buffer("mean", torch.zeros(len(table)))
        self.register_buffer("std", torch.ones(len(table)))
        self._class_weights: dict[str, list[float]] = {}

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Outputs in the order of the table."""
        return torch.cat([part(embedding) for part in self.parts], dim=1)

    def fit_scaler(self, targets: np.ndarray, balance: bool) -> None:
        """Take scales, and class weights where they are asked for, from training targets (nodule, target).

        Raises:
            InputError: when the labels of a binary or multiclass target are of one class.
        """
        for place, target in enumerate(self.table):
            known = targets[:, place][~np.isnan(targets[:, place])].astype(np.float64)
            if target.kind == "regression":
                self.mean[place], std = known.mean(), known.std()
                self.std[place] = std if std > 1e-6 else 1.0
            elif target.kind != "ordinal":
                counts = np.bincount(known.astype(int), minlength=max(len(target.classes), 2))
                if (counts > 0).sum() < 2:
                    raise InputError(f"target {target.name}: the training nodules are all of one class; leave it out")
                if balance:
                    weights = len(known) / ((counts > 0).sum() * np.maximum(counts, 1))
                    self._class_weights[target.name] = weights.tolist()

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, huber_delta: float) -> torch.Tensor:
        """Mean over the targets of their losses: outputs (N, K) against labels (N, target), NaN where unknown."""
        return torch.stack(
            [
                self._loss(place, target, own, targets[:, place], huber_delta)
                for place, (target, own) in enumerate(self._outputs(outputs))
            ]
        ).mean()

    def _loss(
        self, place: int, target: Target, outputs: torch.Tensor, labels: torch.Tensor, huber_delta: float
    ) -> torch.Tensor:
        weights = self._class_weights.get(target.name)
        if target.kind == "binary":
            return malignancy_loss(outputs[:, 0], labels, weights or (1.0, 1.0))
        if target.kind == "multiclass":
            return class_loss(outputs, labels, weights or [1.0] * len(target.classes))
        if target.kind == "ordinal":
            above = (labels[:, None] > labels.new_tensor(target.cut_offs)).to(labels)
            shares = torch.where(labels.isnan()[:, None], labels[:, None], above)
            return share_loss(outputs + self.steps[target.name], shares, torch.ones_like(labels))
        return rating_loss(outputs[:, 0], (labels - self.mean[place]) / self.std[place], huber_delta)

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (K,) that bring outputs to a common scale: of z-scores; 0 and 1 of logits."""
        counts = torch.tensor([len(target.outputs) for target in self.table], device=self.mean.device)
        return self.mean.repeat_interleave(counts), self.std.repeat_interleave(counts)

    def to_units(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (..., K) as probabilities before calibration, expected values of scales, and units."""
        found = []
        for place, (target, own) in enumerate(self._outputs(outputs)):
            if target.kind == "binary":
                found.append(own.sigmoid())
            elif target.kind == "multiclass":
                found.append(own.softmax(-1))
            elif target.kind == "ordinal":
                rises = torch.diff(own.new_tensor(target.levels))
                expected = ((own + self.steps[target.name].detach()).sigmoid() * rises).sum(-1, keepdim=True)
                found.append(target.levels[0] + expected)
            else:
                found.append(own * self.std[place] + self.mean[place])
        return torch.cat(found, dim=-1)

    def _outputs(self, outputs: torch.Tensor) -> Iterator[tuple[Target, torch.Tensor]]:
        """Each target with its own outputs."""
        for target, chosen in zip(self.table, self.table.slices.values(), strict=True):
            yield target, outputs[..., chosen]


def _head(width: int, target: Target) -> nn.Module:
    if target.kind != "regression":
        return nn.Linear(width, len(target.outputs))
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
