"""Drop of the output when a token is removed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network, run_block
from ctxai.explain.targets import Targets
from ctxai.explain.timm_types import TransformerBlock


class TokenAblation(Attribution):
    """Token ablation map: y(x) - y(x without patch i), the token removed after its position was added.

    Costs one forward pass for every patch.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        sequences_at_once: how many shortened sequences are run together, at least one per image.

    Raises:
        InputError: for a number below 1.

    Source: the comparison method of Brocki, Binda and Chung, TMLR 2024 (sensitivity-1).
    """

    name = "token_ablation"
    signed = True
    class_specific = True
    reference = "arXiv:2312.02364"

    def __init__(self, model: nn.Module, sequences_at_once: int = 64) -> None:
        super().__init__(model)
        if sequences_at_once < 1:
            raise InputError(f"expected at least one sequence at once, found {sequences_at_once}")
        self.sequences_at_once = sequences_at_once

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        entering: list[Tensor] = []
        positions: list[Tensor | None] = []

        def step(index: int, block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
            if index == 0:
                entering.append(tokens)
            positions.append(rope)
            return run_block(block, tokens, rope)

        whole = targets.scores(network.run(images, step))
        tokens = entering[0]
        patches = tokens.shape[1] - network.prefix
        everything = torch.arange(patches, device=tokens.device)
        removed_at_once = max(1, self.sequences_at_once // len(images))
        losses = []
        for removed in everything.split(removed_at_once):
            kept = torch.stack([everything[everything != one] for one in removed])
            rows = torch.cat([torch.arange(network.prefix).to(kept).expand(len(kept), -1), kept + network.prefix], 1)
            stream = tokens[:, rows].transpose(0, 1).flatten(0, 1)  # (removed * N, n - 1, d)
            for block, rope in zip(network.blocks, positions, strict=True):
                stream = run_block(block, stream, _positions_of(rope, kept, len(images)))
            readout = network.read_out(network.vit.norm(stream), images)
            scores = targets.scores(readout, len(removed)).unflatten(1, (len(removed), -1))
            losses.append(whole[:, None] - scores)
        return network.tokens.spread(torch.cat(losses, dim=1).transpose(1, 2))


def _positions_of(rope: Tensor | None, kept: Tensor, images: int) -> Tensor | None:
    """Rotary positions (patches, d_r) or (H, patches, d_r) of the kept patches, one set per sequence."""
    if rope is None:
        return None
    by_head = rope if rope.ndim == 3 else rope[None]
    return by_head[:, kept].transpose(0, 1).repeat_interleave(images, dim=0)
