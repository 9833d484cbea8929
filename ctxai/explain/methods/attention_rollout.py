"""Attention multiplied through the blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.base import Attribution, check_block
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace

_FUSIONS: dict[str, Callable[..., Tensor]] = {"mean": torch.mean, "max": torch.amax, "min": torch.amin}


class AttentionRollout(Attribution):
    """Attention rollout: the product over blocks of attention plus identity, rows scaled to sum 1.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        start: first block of the product; negative counts from the end.
        discard_ratio: share of each block's smallest entries, per image, set to 0; the first entry of the matrix
            is kept.
        head_fusion: how heads become one matrix.

    Raises:
        InputError: for options outside their range.

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020.
    """

    name = "attention_rollout"
    signed = False
    class_specific = False
    needs = frozenset({"attention"})
    reference = "arXiv:2005.00928"

    def __init__(
        self,
        model: nn.Module,
        start: int = 0,
        discard_ratio: float = 0.0,
        head_fusion: Literal["mean", "max", "min"] = "mean",
    ) -> None:
        super().__init__(model)
        if head_fusion not in _FUSIONS:
            raise InputError(f"expected head_fusion out of {', '.join(_FUSIONS)}, found {head_fusion!r}")
        if not 0 <= discard_ratio < 1:
            raise InputError(f"expected a discard ratio from 0 to below 1, found {discard_ratio}")
        self.start, self.discard_ratio, self.head_fusion = start, discard_ratio, head_fusion
        check_block(self.model, start)

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, self.start)
        targets.fix(traced.readout.outputs)
        row = traced.reader()  # of the product, only the reading row is made, from its left end
        for block in reversed(traced.blocks):
            attention = self._fuse(block.weights())
            row = row / (attention.sum(dim=-1) + 1)[:, None]
            row = row + row @ attention
        return traced.to_map(row).transpose(0, 1)

    def _fuse(self, attention: Tensor) -> Tensor:
        """(N, H, n, n) to (N, n, n), without the smallest entries."""
        fused = _FUSIONS[self.head_fusion](attention, dim=1)
        flat = fused.flatten(1)
        smallest = flat.topk(int(flat.shape[1] * self.discard_ratio), dim=1, largest=False).indices
        first = flat[:, 0].clone()
        flat = flat.scatter(1, smallest, 0)
        flat[:, 0] = first
        return flat.view_as(fused)
