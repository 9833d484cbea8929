"""Check that blocks recomputed piece by piece are the model's own.

Explanations take attention apart and never call the attention modules themselves. A subclass with its own forward, a
replaced forward or a hook on attention would then be left out of the map. Where a model has any of these, its own pass
is compared with the recomputed one; most models have none, and pay nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import ModelError
from ctxai.explain.attention import attention_residual, mlp_residual, project_context, query_key_value
from ctxai.explain.network import Network
from ctxai.explain.timm_types import TransformerBlock

_OWN = ("timm.", "torch.")
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
_BYPASSED = ("qkv", "q_proj", "k_proj", "v_proj", "attn_drop", "proj", "proj_drop")


def check_own_forward(network: Network, images: Tensor) -> None:
    """Refuse a model whose own forward gives other tokens than its blocks recomputed from their parts.

    Args:
        network: the model.
        images: (N, C, H, W), compared on all of them.

    Raises:
        ModelError: naming the modules with a forward or hooks of their own.
    """
    changed = list(_changed(network))
    if not changed:
        return
    entering: list[tuple[Tensor, Tensor | None]] = []
    readout = network.run(images, before_first=lambda tokens, rope: entering.append((tokens, rope)))
    if not entering:
        raise ModelError(_refusal(changed))
    stream, rope = entering[0]
    for block in network.blocks:
        stream = _recomputed(block, stream, rope)
    features = network.vit.norm(stream)
    outputs = network.read_out(features, images).outputs
    for own, found in ((readout.features, features), (readout.outputs, outputs)):
        scale = own.abs().max().clamp(min=torch.finfo(own.dtype).tiny)
        if own.shape != found.shape or (own - found).abs().max() > _TOLERANCE.get(own.dtype, 3e-2) * scale:
            raise ModelError(_refusal(changed))


def _recomputed(block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
    normed = block.norm1(tokens)
    queries, keys, values = query_key_value(block.attn, normed, rope)
    context = F.scaled_dot_product_attention(queries, keys, values, scale=block.attn.scale)
    return mlp_residual(block, attention_residual(block, tokens, project_context(block.attn, context, normed)))


def _changed(network: Network) -> Iterator[str]:
    """Names of modules whose forward or hooks a recomputed pass leaves out."""
    vit = network.vit
    if "forward_features" in vars(vit) or not type(vit).forward_features.__module__.startswith(_OWN):
        yield f"{type(vit).__name__}.forward_features"
    for index, block in enumerate(network.blocks):
        parts: dict[str, nn.Module | None] = {"": block, ".attn": block.attn, ".mlp": block.mlp}
        parts |= {f".attn.{name}": getattr(block.attn, name, None) for name in _BYPASSED}
        parts |= {f".mlp.{name}": getattr(block.mlp, name, None) for name in ("fc1", "fc2")}
        for name, module in parts.items():
            if module is not None and _has_own_forward(module):
                yield f"blocks.{index}{name}"


def _has_own_forward(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks
    return bool(hooks) or "forward" in vars(module) or not type(module).forward.__module__.startswith(_OWN)


def _refusal(changed: list[str]) -> str:
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return (
        f"expected attention as timm computes it, found another result with the forward or the hooks of "
        f"{', '.join(changed[:3])}{more}; remove them, or put the change into the weights"
    )
