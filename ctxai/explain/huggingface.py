"""HuggingFace's ViT and Dinov2 as timm transformers: the same weights, the same outputs.

Weights are renamed and put into timm's modules; the library itself is not imported. Names of its releases 4 and 5 are
known. A converted model is a copy: weights that change afterwards are not seen.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import Mlp, QuickGELU, SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import ModelError

KINDS = ("vit", "dinov2", "dinov2_with_registers")
"""Values of ``config.model_type`` that are converted."""

_HEADS = ("Model", "ForImageClassification")
_ACTIVATIONS: Mapping[str, Any] = {
    "gelu": nn.GELU,
    "gelu_new": functools.partial(nn.GELU, approximate="tanh"),
    "gelu_pytorch_tanh": functools.partial(nn.GELU, approximate="tanh"),
    "quick_gelu": QuickGELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}
_NAMES = [
    (r"^(vit|dinov2|dinov2_with_registers)\.", ""),
    (r"^(encoder\.)?layers?\.(\d+)\.", r"blocks.\2."),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"\.attention\.(attention\.)?(query|q_proj)\.", ".attn.q."),
    (r"\.attention\.(attention\.)?(key|k_proj)\.", ".attn.k."),
    (r"\.attention\.(attention\.)?(value|v_proj)\.", ".attn.v."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.(layernorm_before|norm1)\.", ".norm1."),
    (r"\.(layernorm_after|norm2)\.", ".norm2."),
    (r"\.(intermediate\.dense|mlp\.weights_in)\.", ".mlp.fc1."),
    (r"\.(output\.dense|mlp\.weights_out|mlp\.down_proj)\.", ".mlp.fc2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
]
_JOINED = [(("attn.q", "attn.k", "attn.v"), "attn.qkv"), (("mlp.gate_proj", "mlp.up_proj"), "mlp.fc1")]
_UNUSED = re.compile(r"(^|\.)(mask_token$|pooler\.)")


class InterpolatedViT(VisionTransformer):
    """timm's transformer with the way that Dinov2's HuggingFace port interpolates positions.

    Args:
        antialias: as that port of the same model has it.
        options: of VisionTransformer.
    """

    def __init__(self, antialias: bool, **options: Any) -> None:
        super().__init__(dynamic_img_size=True, **options)
        self._antialias = antialias

    def _pos_embed(self, x: Tensor) -> Tensor:
        count, rows, columns, width = x.shape
        assert self.pos_embed is not None and self.cls_token is not None  # as built below
        positions: Tensor = self.pos_embed
        side = round((positions.shape[1] - 1) ** 0.5)
        if (rows, columns) != (side, side):
            grid = positions[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
            grid = F.interpolate(  # the port's own precision
                grid.float(), (rows, columns), mode="bicubic", align_corners=False, antialias=self._antialias
            )
            patches = grid.to(positions.dtype).permute(0, 2, 3, 1).reshape(1, -1, width)
            positions = torch.cat([positions[:, :1], patches], dim=1)
        tokens = torch.cat([self.cls_token.expand(count, -1, -1), x.flatten(1, 2)], dim=1) + positions
        if self.reg_token is not None:
            tokens = torch.cat([tokens[:, :1], self.reg_token.expand(count, -1, -1), tokens[:, 1:]], dim=1)
        return self.pos_drop(tokens)


class ClassAndMean(nn.Module):
    """A linear layer over the class token beside the mean of the patches, as Dinov2's classifier.

    Args:
        backbone: the transformer.
        outputs: K.
    """

    def __init__(self, backbone: VisionTransformer, outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(2 * backbone.embed_dim, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to outputs (N, K)."""
        tokens = self.backbone.forward_features(images)
        patches = tokens[:, self.backbone.num_prefix_tokens :]
        return self.head(torch.cat([tokens[:, 0], patches.mean(dim=1)], dim=1))


def as_timm(model: nn.Module) -> nn.Module:
    """``model`` itself, or :func:`from_huggingface` of one of its library's ViT or Dinov2 models."""
    library = type(model).__module__.split(".")[0]
    known = getattr(getattr(model, "config", None), "model_type", None) in KINDS
    return from_huggingface(model) if library == "transformers" and known else model


def from_huggingface(model: nn.Module) -> nn.Module:
    """Convert a HuggingFace ViT or Dinov2 (with or without registers), bare or with its image classifier.

    Args:
        model: of the transformers library.

    Returns:
        A timm module in evaluation mode with outputs (N, K): the logits, or the normalised class token (N, d) of a bare
        model.

    Raises:
        ModelError: for another architecture or head, or an activation that is not known.
    """
    config: Any = getattr(model, "config", None)
    kind = getattr(config, "model_type", None)
    head = next((head for head in _HEADS if type(model).__name__.endswith(head)), None)
    if kind not in KINDS or head is None or type(model).__name__.startswith("ViTMAE"):
        raise ModelError(
            f"expected a HuggingFace ViT or Dinov2, bare or ForImageClassification, found {type(model).__name__}; "
            "only these are converted"
        )
    weights = _renamed(model.state_dict())
    vit = _transformer(config, kind, weights, outputs=len(weights["head.weight"]) if "head.weight" in weights else 0)
    converted: nn.Module = vit
    if kind != "vit" and "head.weight" in weights:
        converted = ClassAndMean(vit, len(weights["head.weight"]))
        weights = {name if name.startswith("head.") else f"backbone.{name}": value for name, value in weights.items()}
    first = next(iter(weights.values()))
    converted = converted.to(first.device, first.dtype)
    converted.load_state_dict(weights)
    return converted.eval()


def _transformer(config: Any, kind: str, weights: Mapping[str, Tensor], outputs: int) -> VisionTransformer:
    activation = _ACTIVATIONS.get(config.hidden_act)
    if activation is None:
        raise ModelError(f"expected an activation out of {', '.join(_ACTIVATIONS)}, found {config.hidden_act!r}")
    gated = bool(getattr(config, "use_swiglu_ffn", False))
    width = config.hidden_size
    options: dict[str, Any] = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "in_chans": config.num_channels,
        "num_classes": outputs if kind == "vit" else 0,
        "embed_dim": width,
        "depth": config.num_hidden_layers,
        "num_heads": config.num_attention_heads,
        "mlp_ratio": len(weights["blocks.0.mlp.fc1.weight"]) / width,
        "qkv_bias": config.qkv_bias,
        "norm_layer": functools.partial(nn.LayerNorm, eps=config.layer_norm_eps),
        "act_layer": nn.SiLU if gated else activation,
        "mlp_layer": SwiGLUPacked if gated else Mlp,
        "weight_init": "skip",
    }
    if kind == "vit":
        return VisionTransformer(**options)
    registers = int(getattr(config, "num_register_tokens", 0))
    vit = InterpolatedViT(
        antialias=registers > 0, init_values=1.0, reg_tokens=registers, no_embed_class=False, **options
    )
    vit.pos_embed = nn.Parameter(torch.empty_like(weights["pos_embed"]))
    return vit


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by timm's names; queries, keys and values in one tensor, and so the two halves of a gated MLP."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if _UNUSED.search(name):
            continue
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        found[name] = value.detach()
    for parts, whole in _JOINED:
        for name in [name for name in found if f".{parts[0]}." in name]:
            pieces = [found.pop(name.replace(parts[0], part)) for part in parts]
            found[name.replace(parts[0], whole)] = torch.cat(pieces)
    return found
