"""Relevance propagation for one image through a plain timm ViT, layer by layer, written from the rules."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    sign = torch.where(denominator >= 0, 1.0, -1.0)
    return torch.where(denominator != 0, numerator / (denominator + 1e-9 * sign), torch.zeros_like(numerator))


def through_linear(layer: nn.Linear, inputs: Tensor, relevance: Tensor, older: bool) -> Tensor:
    """One output at a time: its relevance goes to inputs by their positive contributions."""
    received = torch.zeros_like(inputs)
    for output in range(layer.out_features):
        contributions = inputs * layer.weight[output]
        by_positive = torch.where(inputs > 0, contributions, 0).clamp(min=0)
        by_negative = torch.where(inputs < 0, contributions, 0).clamp(min=0)
        sums = [by_positive.sum(dim=-1), by_negative.sum(dim=-1)]
        if not older:
            sums = [sums[0] + sums[1]] * 2
        for part, total in zip((by_positive, by_negative), sums, strict=True):
            received += part * divide(relevance[..., output], total)[..., None]
    return received


def through_sum(left: Tensor, right: Tensor, relevance: Tensor, older: bool) -> tuple[Tensor, Tensor]:
    quotient = divide(relevance, left + right)
    shares = (left * quotient, right * quotient)
    if older:
        return shares
    sizes = [abs(float(share.sum())) for share in shares]
    parts = [size / sum(sizes) * float(relevance.sum()) for size in sizes]
    return tuple(share * (part / float(share.sum())) for share, part in zip(shares, parts, strict=True))


def through_product(left: Tensor, right: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    quotient = divide(relevance, left @ right)
    by_left = left * torch.einsum("hij,hkj->hik", quotient, right)
    by_right = right * torch.einsum("hij,hik->hkj", quotient, left)
    return by_left / 2, by_right / 2


@torch.no_grad()
def attention_relevance(model: nn.Module, image: Tensor, target: int, older: bool = False) -> list[Tensor]:
    """Relevance (H, n, n) of every block's attention, first to last."""
    stream = model._pos_embed(model.patch_embed(image[None]))[0]
    kept = []
    for block in model.blocks:
        attn = block.attn
        n, d = stream.shape
        normed = block.norm1(stream)
        query, key, value = attn.qkv(normed).reshape(n, 3, attn.num_heads, -1).permute(1, 2, 0, 3)
        attention = (query @ key.transpose(1, 2) * attn.scale).softmax(dim=-1)
        merged = (attention @ value).transpose(0, 1).reshape(n, d)
        attended = attn.proj(merged)
        middle = stream + attended
        normed2 = block.norm2(middle)
        hidden = block.mlp.act(block.mlp.fc1(normed2))
        out = block.mlp.fc2(hidden)
        kept.append((stream, normed, query, key, value, attention, merged, attended, middle, normed2, hidden, out))
        stream = middle + out
    features = model.norm(stream)
    start = torch.zeros(model.num_classes, dtype=image.dtype)
    start[target] = 1
    relevance = torch.zeros_like(stream)
    relevance[0] = through_linear(model.head, features[0], start, older)
    found = []
    for block, values in zip(reversed(model.blocks), reversed(kept), strict=True):
        stream, normed, query, key, value, attention, merged, attended, middle, normed2, hidden, out = values
        by_middle, by_out = through_sum(middle, out, relevance, older)
        by_hidden = through_linear(block.mlp.fc2, hidden, by_out, older)
        by_middle = by_middle + through_linear(block.mlp.fc1, normed2, by_hidden, older)
        by_stream, by_attended = through_sum(stream, attended, by_middle, older)
        n, d = stream.shape
        by_merged = through_linear(block.attn.proj, merged, by_attended, older)
        by_merged = by_merged.reshape(n, block.attn.num_heads, -1).transpose(0, 1)
        by_attention, by_value = through_product(attention, value, by_merged)
        found.append(by_attention)
        by_query, by_key = through_product(query, key.transpose(1, 2), by_attention)
        by_raw = torch.stack([by_query, by_key.transpose(1, 2), by_value]).permute(2, 0, 1, 3).reshape(n, 3 * d)
        relevance = by_stream + through_linear(block.attn.qkv, normed, by_raw, older)
    return found[::-1]
