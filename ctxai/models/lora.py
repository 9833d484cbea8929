"""Low-rank adapters on a vision transformer's attention, and their way back into plain weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import linear


class LoRALinear(nn.Module):
    """A frozen linear layer W plus a learnt update of low rank: W + alpha / rank · B A.

    A starts as a linear layer's own initial weights, B at zero, so that the sum starts as W (Hu et al. 2022, "LoRA:
    Low-rank adaptation of large language models").

    Args:
        base: the layer; its parameters are frozen.
        rank: rows of A (rank, in) and columns of B (out, rank).
        alpha: scale of the update, in units of the rank.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (..., out) of inputs (..., in)."""
        return self.base(inputs) + linear(linear(inputs, self.down), self.up) * self.scale

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with the update added to its weights."""
        self.base.weight += self.scale * self.up @ self.down
        return self.base.requires_grad_(True)


def add_lora(block: nn.Module, rank: int, alpha: float) -> None:
    """Put adapters on the projections of one block's attention: ``qkv`` (or q, k and v) and ``proj``."""
    attention = block.attn
    for name in ("qkv", "q_proj", "k_proj", "v_proj", "proj"):
        layer = getattr(attention, name, None)
        if isinstance(layer, nn.Linear):
            setattr(attention, name, LoRALinear(layer, rank, alpha))


def merge_lora(model: nn.Module) -> None:
    """Replace every adapter in ``model`` by a plain linear layer that computes the same."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoRALinear):
                setattr(parent, name, child.merged())
