"""The backbone in a checkpoint, whatever surrounds it: prefixes, heads, and the names of other libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

_PATCHES = "patch_embed.proj.weight"
_TRANSFORMERS = "embeddings.patch_embeddings.projection.weight"
#: What a backbone does without: read-outs of any library, and tokens of masked pretraining.
_HEADS = re.compile(r"(heads?|head_\w+|head_drop|fc|classifier|pooler|mask_token|\w*_head|auxiliary|projector)(\.|$)")
#: Names of HuggingFace transformers' ViT and DINOv2, and those of DINOv2's authors.
_RENAMED = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.mask_token", "mask_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.register_tokens", "register_tokens"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"layernorm\.", "norm."),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"(blocks\.\d+\.)attention\.output\.dense\.", r"\1attn.proj."),
    (r"(blocks\.\d+\.)layernorm_before\.", r"\1norm1."),
    (r"(blocks\.\d+\.)layernorm_after\.", r"\1norm2."),
    (r"(blocks\.\d+\.)intermediate\.dense\.", r"\1mlp.fc1."),
    (r"(blocks\.\d+\.)output\.dense\.", r"\1mlp.fc2."),
    (r"(blocks\.\d+\.)mlp\.weights_in\.", r"\1mlp.w12."),
    (r"(blocks\.\d+\.)mlp\.weights_out\.", r"\1mlp.w3."),
    (r"(blocks\.\d+\.)layer_scale([12])\.lambda1", r"\1ls\2.gamma"),
)
_PARTS = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))


def backbone_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of the one backbone in a checkpoint, under the names of timm or of DINO's authors.

    Whatever stands before its names is removed (``module.``, ``model.``, ``net.``, ``_orig_mod.``, ``backbone.`` and
    the like, in any order); what has other names beside it is a head. Of a student and a teacher the teacher is taken.

    Args:
        state: tensors by name.

    Raises:
        ValueError: when there is none, or several; telling what there is.
    """
    for anchor in (_PATCHES, _TRANSFORMERS):
        prefixes = sorted(name.removesuffix(anchor) for name in state if name.endswith(anchor))
        chosen = [prefix for prefix in prefixes if "teacher" in prefix] or prefixes
        if len(chosen) > 1:
            raise ValueError(f"several backbones ({', '.join(chosen)}), expected one")
        if chosen:
            found = {name.removeprefix(chosen[0]): value for name, value in state.items() if name.startswith(chosen[0])}
            return found if anchor == _PATCHES else _from_transformers(found)
    names = ", ".join(sorted(state)[:3]) or "nothing"
    raise ValueError(f"no vision transformer of timm, DINO or transformers; found {names}, …")


def is_head(name: str) -> bool:
    """Whether a weight of this name is no part of a backbone."""
    return bool(_HEADS.match(name))


def _from_transformers(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of transformers' ViT, DINOv2 or DINOv2 with registers under the names of DINOv2's authors."""
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        renamed = name
        for pattern, replacement in _RENAMED:
            renamed = re.sub(f"^{pattern}", replacement, renamed)
        found[renamed] = value
    for name in [name for name in found if f".{_PARTS[0]}." in name]:
        parts = [found.pop(name.replace(_PARTS[0], part)) for part in _PARTS]
        found[name.replace(_PARTS[0], "attn.qkv")] = torch.cat(parts)
    return found
