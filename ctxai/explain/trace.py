"""Traced pass: tokens, queries, keys, values and attention of every block, with gradients where a method needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ctxai.errors import ModelError
from ctxai.explain.attention import (
    attention_residual,
    attention_scores,
    mlp_residual,
    project_context,
    query_key_value,
)
from ctxai.explain.network import Network, Readout, run_block
from ctxai.explain.timm_types import TransformerBlock
from ctxai.explain.token_grid import TokenGrid


@dataclass(frozen=True)
class BlockTrace:
    """Intermediate values of one block, for N images of n tokens, H heads of d_h dimensions.

    Attributes:
        block: the stand-in's block.
        tokens: (N, n, d), entering the block.
        normed: (N, n, d), after its first norm.
        queries, keys, values: (N, H, n, d_h), normalised and rotated as the block has it.
        explicit_attention: (N, H, n, n), after the softmax, part of the graph; None in a pass without gradients.
        middle: (N, n, d), after the attention sub-layer and its residual.
        leaving: (N, n, d), after the block.
    """

    block: TransformerBlock
    tokens: Tensor
    normed: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor
    explicit_attention: Tensor | None
    middle: Tensor
    leaving: Tensor

    @property
    def attention(self) -> Tensor:
        """Attention (N, H, n, n) of a pass with gradients, part of its graph."""
        if self.explicit_attention is None:
            raise ModelError("expected a traced pass with gradients; its attention is not kept without them")
        return self.explicit_attention

    def scores(self, rows: int | None = None) -> Tensor:
        """Attention before the softmax of the first ``rows`` queries (all by default), (N, H, m, n), made on demand."""
        return attention_scores(self.block.attn, self.queries[:, :, :rows], self.keys)

    def weights(self, rows: int | None = None) -> Tensor:
        """Attention after the softmax of the first ``rows`` queries, (N, H, m, n), without a graph."""
        return self.scores(rows).detach().softmax(dim=-1)


@dataclass(frozen=True)
class Trace:
    """A traced pass.

    Attributes:
        readout: outputs (N, K) and features (N, n, d).
        blocks: the traced blocks, first to last.
        rows: how many of the first tokens are read out.
        prefix: how many tokens come before the patches.
        tokens: where the patch tokens lie.
    """

    readout: Readout
    blocks: list[BlockTrace]
    rows: int
    prefix: int
    tokens: TokenGrid

    @property
    def class_token_only(self) -> bool:
        """Whether the outputs read nothing but prefix tokens after the last block."""
        return self.rows <= self.prefix

    @property
    def queries_read(self) -> int:
        """How many of the first queries of the last block a map reads: the class token's, or all in a pooled model."""
        return 1 if self.class_token_only else self.readout.features.shape[1]

    def reader(self) -> Tensor:
        """The query that a map is read from, as weights (N, 1, n) of tokens.

        The class token; in a model with a pooled read-out the mean over the patches.
        """
        features = self.readout.features
        row = features.new_zeros(len(features), 1, features.shape[1])
        if self.class_token_only:
            row[..., 0] = 1
        else:
            row[..., self.prefix :] = 1 / (features.shape[1] - self.prefix)
        return row

    def to_map(self, per_token: Tensor) -> Tensor:
        """Drop the prefix of (..., n) and give the token grid, (..., h, w)."""
        return self.tokens.spread(per_token[..., self.prefix :])

    def gradients(self, explained: Tensor, leaves: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """For each target of ``explained`` (T, N), the gradients of ``leaves``; a new backward pass for each."""
        count = len(explained)
        for position, one in enumerate(torch.eye(count).to(explained)):
            selected = one[:, None].expand_as(explained)
            yield torch.autograd.grad(explained, leaves, selected, retain_graph=position < count - 1)

    def attention_gradients(self, explained: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """For each target, the gradient of every traced block's attention, (N, H, n, n) each."""
        return self.gradients(explained, [block.attention for block in self.blocks])


def trace(network: Network, images: Tensor, first: int = 0, gradients: bool = False) -> Trace:
    """Run ``images`` (N, C, H, W) and keep what happens from block ``first`` on (negative counts from the end).

    With ``gradients``, attention is made explicitly and everything from the first traced block's normalised tokens on
    is one graph; without, the blocks run with fused attention.
    """
    first = range(len(network.blocks))[first]
    kept: list[BlockTrace] = []

    def step(index: int, block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
        if index < first:
            return run_block(block, tokens, rope)
        normed = block.norm1(tokens)
        if gradients and index == first:
            normed = normed.detach().requires_grad_()
        queries, keys, values = query_key_value(block.attn, normed, rope)
        attention = None
        if gradients:
            attention = attention_scores(block.attn, queries, keys).softmax(dim=-1)
            context = attention @ values
        else:
            context = F.scaled_dot_product_attention(queries, keys, values, scale=block.attn.scale)
        middle = attention_residual(block, tokens, project_context(block.attn, context, normed))
        leaving = mlp_residual(block, middle)
        kept.append(BlockTrace(block, tokens, normed, queries, keys, values, attention, middle, leaving))
        return leaving

    with torch.set_grad_enabled(gradients):
        readout = network.run(images, step)
    with torch.no_grad():
        rows = network.rows_read(readout.features.detach(), images)
    return Trace(readout, kept, rows, network.prefix, network.tokens)
