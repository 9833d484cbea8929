"""Read-outs of a nodule's embedding, malignancy and standardised biomarkers, and what they are trained to minimise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, pixel_shuffle

from ctxai.data.auxiliary import CUT_OFFS, AuxiliaryTargets
from ctxai.data.labels import TARGETS
from ctxai.data.outline_features import OUTLINE_FEATURES
from ctxai.errors import InputError
from ctxai.models.settings import HeadsConfig


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


class OrdinalHeads(nn.Module):
    """(N, width) → (N, K): the mean of four cumulative malignancy logits, then biomarkers as z-scores.

    Args:
        width: of the embedding.
        targets: what is predicted, malignancy among them, in the order of `TARGETS`.
        config: width of the perceptron, and dropout.
    """

    def __init__(self, width: int, targets: Sequence[str], config: HeadsConfig) -> None:
        super().__init__()
        if "malignancy" not in targets:
            raise InputError(
                "heads: the ordinal read-out is malignancy's; add it to the targets, or take readout logit"
            )
        hidden = round(config.hidden * width)
        drop = nn.Dropout(config.dropout)
        self.trunk = nn.Sequential(drop, nn.Linear(width, hidden), nn.GELU(), nn.Dropout(config.dropout))
        self.cumulative = nn.Linear(hidden, CUT_OFFS)
        self.biomarkers = nn.Linear(hidden, len(targets) - 1) if len(targets) > 1 else None

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Malignancy first, then z-scores in the order of `BIOMARKERS`."""
        return self.read(self.trunk(embedding))[0]

    def read(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (N, K) and cumulative logits (N, 4) of the perceptron's hidden layer."""
        cumulative = self.cumulative(hidden)
        malignancy = cumulative.mean(1, keepdim=True)
        if self.biomarkers is None:
            return malignancy, cumulative
        return torch.cat([malignancy, self.biomarkers(hidden)], dim=1), cumulative


class AuxiliaryHeads(nn.Module):
    """Auxiliary outputs, from the embedding (N, width) and the patch tokens (N, token, width).

    Args:
        width: of the tokens and of the embedding.
        grid: patch tokens along the image's rows and columns.
        config: loss weights.
        quarters: of tokens of several sizes, which one is over each quarter of a cell (see `MixedEmbed.quarters`).
    """

    quarters: torch.Tensor | None

    def __init__(
        self, width: int, grid: tuple[int, int], config: HeadsConfig, quarters: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        self.config, self.grid = config, grid
        self.register_buffer("quarters", quarters, persistent=False)
        self.soft = nn.Linear(width, 1) if config.soft else None
        self.rank = nn.Linear(width, 1, bias=False) if config.rank else None
        self.outline = nn.Linear(width, 4) if config.outline else None
        self.features = nn.Linear(width, len(OUTLINE_FEATURES)) if config.features else None
        if config.rank:
            self.cut_offs = nn.Parameter(torch.linspace(2, -2, CUT_OFFS))

    def outline_logits(self, patches: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2 · rows, 2 · columns) of the outline's share in each quarter of the patch tokens."""
        assert self.outline is not None
        logits = self.outline(patches)
        if self.quarters is not None:
            places = self.quarters.flatten().expand(len(logits), -1)
            return logits.flatten(1).gather(1, places).unflatten(1, self.quarters.shape)
        return pixel_shuffle(logits.transpose(1, 2).unflatten(2, self.grid), 2)[:, 0]

    def loss(self, embedding: torch.Tensor, patches: torch.Tensor, targets: AuxiliaryTargets) -> torch.Tensor:
        """Weighted sum of the auxiliary losses of a batch."""
        total = embedding.new_zeros((), dtype=torch.float32)
        if self.soft is not None:
            soft = share_loss(self.soft(embedding), targets["shares"].mean(1, keepdim=True), targets["weight"])
            total = total + self.config.soft * soft
        if self.rank is not None:
            logits = self.rank(embedding) + self.cut_offs
            total = total + self.config.rank * share_loss(logits, targets["shares"], targets["weight"])
        if self.outline is not None:
            logits = self.outline_logits(patches).flatten(1)
            shares = targets["outline"].flatten(1)
            total = total + self.config.outline * share_loss(logits, shares, torch.ones_like(targets["weight"]))
        if self.features is not None:
            features = rating_loss(self.features(embedding).float(), targets["features"], 1.0)
            total = total + self.config.features * features
        return total


def malignancy_loss(outputs: torch.Tensor, targets: torch.Tensor, class_weights: Sequence[float]) -> torch.Tensor:
    """Mean binary cross-entropy of logits (N,) with probabilities (N,), NaN where unknown.

    Args:
        outputs: logits.
        targets: in [0, 1].
        class_weights: of benign and of malignant.
    """
    known, filled = _known(targets)
    loss = binary_cross_entropy_with_logits(outputs, filled, reduction="none")
    return _mean(loss, known * between(class_weights, filled))


def class_loss(logits: torch.Tensor, labels: torch.Tensor, class_weights: Sequence[float]) -> torch.Tensor:
    """Mean cross-entropy of logits (N, class) with places of classes (N,), NaN where unknown; weighted by class."""
    known, filled = _known(labels)
    chosen = filled.long()
    loss = cross_entropy(logits.float(), chosen, reduction="none")
    return _mean(loss, known * loss.new_tensor(class_weights)[chosen])


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


def share_loss(logits: torch.Tensor, shares: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of logits (N, M) with shares in [0, 1], NaN where unknown, weighted by nodule (N,)."""
    known, filled = _known(shares)
    loss = binary_cross_entropy_with_logits(logits.float(), filled, reduction="none")
    return _mean(loss, known * weights[:, None].to(loss))


def between(ends: Sequence[float], share: torch.Tensor) -> torch.Tensor:
    """From the first end, where ``share`` is 0, to the second, where it is 1; the shape of ``share``."""
    first, second = (share.new_tensor(end) for end in ends)
    return torch.lerp(first, second, share)


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
