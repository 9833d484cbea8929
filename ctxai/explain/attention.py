"""The pieces of timm's attention modules and blocks, run one by one.

The fused attention kernel keeps its attention matrix to itself. Here the matrix is made again from queries and keys,
with the module's own projections, query and key norms, rotary positions and scale.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from timm.layers import apply_rot_embed_cat
from timm.models.eva import AttentionRope, EvaAttention
from timm.models.vision_transformer import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import ModelError
from ctxai.explain.model_hints import linear_hint
from ctxai.explain.timm_types import SelfAttention, TransformerBlock


class Projection(NamedTuple):
    """A linear map to queries, keys or values: ``weight`` (H * d_h, d) and ``bias`` (H * d_h,) or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, tokens: Tensor) -> Tensor:
        """(N, n, d) to (N, n, H * d_h)."""
        return F.linear(tokens, self.weight, self.bias)


class Projections(NamedTuple):
    """The three projections of an attention module."""

    query: Projection
    key: Projection
    value: Projection


def projections(attn: SelfAttention) -> Projections:
    """Take the query, key and value projections out of an attention module, fused or separate.

    Raises:
        ModelError: for another kind of attention, grouped keys, or projections that are no plain linear layers.
    """
    if not isinstance(attn, Attention | AttentionRope | EvaAttention) or getattr(attn, "num_kv_groups", 1) != 1:
        raise ModelError(
            f"expected plain multi-head self-attention, found {type(attn).__name__}; this architecture cannot be "
            "explained"
        )
    layers = [attn.qkv] if attn.qkv is not None else [attn.q_proj, attn.k_proj, attn.v_proj]
    for layer in layers:
        if type(layer) is not nn.Linear:
            kind = f"{type(layer).__module__}.{type(layer).__qualname__}"
            raise ModelError(f"expected torch.nn.Linear as projections, found {kind}; {linear_hint(layer)}")
    if attn.qkv is None:
        return Projections(*(Projection(layer.weight, layer.bias) for layer in layers))
    weights = attn.qkv.weight.chunk(3)
    if attn.qkv.bias is not None:
        biases: tuple[Tensor | None, ...] = attn.qkv.bias.chunk(3)
    else:
        biases = tuple(getattr(attn, f"{letter}_bias", None) for letter in "qkv")
    return Projections(*map(Projection, weights, biases))


def split_heads(attn: SelfAttention, values: Tensor) -> Tensor:
    """(N, m, H * d_h) to (N, H, m, d_h)."""
    return values.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)


def rotate(attn: SelfAttention, values: Tensor, rope: Tensor | None) -> Tensor:
    """Apply rotary positions to the patch tokens of queries or keys (N, H, m, d_h)."""
    if rope is None or values.shape[2] <= attn.num_prefix_tokens:
        return values
    prefix, patches = values.split([attn.num_prefix_tokens, values.shape[2] - attn.num_prefix_tokens], dim=2)
    half = getattr(attn, "rotate_half", False)
    return torch.cat([prefix, apply_rot_embed_cat(patches, rope, half=half).type_as(values)], dim=2)


def query_key_value(
    attn: SelfAttention, tokens: Tensor, rope: Tensor | None, rows: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the first ``rows`` tokens (all by default), keys and values, each (N, H, ., d_h).

    ``tokens`` (N, n, d) are normalised; ``rows`` is at most the number of prefix tokens, or None.
    """
    query, key, value = projections(attn)
    queries = attn.q_norm(split_heads(attn, query(tokens[:, :rows])))
    keys = attn.k_norm(split_heads(attn, key(tokens)))
    return rotate(attn, queries, rope), rotate(attn, keys, rope), split_heads(attn, value(tokens))


def attention_scores(attn: SelfAttention, queries: Tensor, keys: Tensor) -> Tensor:
    """Scaled products before the softmax: (N, H, m, d_h) and (N, H, n, d_h) to (N, H, m, n)."""
    return (queries * attn.scale) @ keys.transpose(-2, -1)


def project_context(attn: SelfAttention, context: Tensor, tokens: Tensor) -> Tensor:
    """The rest of an attention module: context (N, H, m, d_h) to (N, m, d).

    ``tokens`` (N, m, d) are the normalised tokens of these rows, which an output gate reads.
    """
    merged = attn.norm(context.transpose(1, 2).flatten(2))
    if attn.gate is not None:
        merged = merged * attn.gate(tokens).sigmoid()
    return attn.proj(merged)


def scale_branch(block: TransformerBlock, branch: int, values: Tensor) -> Tensor:
    """The block's layer scale of its first (attention) or second (MLP) branch."""
    if hasattr(block, f"ls{branch}"):
        return getattr(block, f"ls{branch}")(values)
    gamma = getattr(block, f"gamma_{branch}")
    return values if gamma is None else gamma * values


def attention_residual(block: TransformerBlock, stream: Tensor, attended: Tensor) -> Tensor:
    """Tokens after the attention sub-layer: the stream (N, m, d) plus what was attended to (N, m, d)."""
    return stream + scale_branch(block, 1, attended)


def mlp_residual(block: TransformerBlock, stream: Tensor) -> Tensor:
    """Tokens after the MLP sub-layer, (N, m, d)."""
    return stream + scale_branch(block, 2, block.mlp(block.norm2(stream)))
