"""Attributes of timm's modules that explanations read, with their types.

timm's VisionTransformer and Eva share these by convention and not by a base class, and ``nn.Module`` answers for every
attribute with "Tensor or Module". No object is of these classes: they are what :func:`~typing.cast` turns a timm module
into for the type checker.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn


class SelfAttention(nn.Module):
    """timm's Attention, AttentionRope and EvaAttention."""

    num_heads: int
    num_prefix_tokens: int
    scale: float
    qkv: nn.Linear | None
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    q_norm: nn.Module
    k_norm: nn.Module
    norm: nn.Module
    gate: nn.Linear | None
    proj: nn.Module


class TransformerBlock(nn.Module):
    """timm's Block and EvaBlock."""

    norm1: nn.Module
    attn: SelfAttention
    norm2: nn.Module
    mlp: nn.Module


class Blocks(Protocol):
    """A transformer's blocks, first to last."""

    def __iter__(self) -> Iterator[TransformerBlock]: ...
    def __reversed__(self) -> Iterator[TransformerBlock]: ...
    def __len__(self) -> int: ...


class PatchEmbedding(nn.Module):
    """timm's PatchEmbed and HybridEmbed."""

    grid_size: tuple[int, int]
    patch_size: tuple[int, int]

    def feat_ratio(self) -> int | tuple[int, int]:
        """Pixels per token along an axis; timm's name."""
        raise NotImplementedError


class Transformer(nn.Module):
    """timm's VisionTransformer and Eva."""

    blocks: Blocks
    patch_embed: PatchEmbedding
    norm: nn.Module
    embed_dim: int
    num_prefix_tokens: int
    grad_checkpointing: bool
    global_pool: str

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to tokens (N, n, d)."""
        raise NotImplementedError

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, n, d) to outputs (N, K), or to what the classification layer reads."""
        raise NotImplementedError
