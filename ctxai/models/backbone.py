"""The vision transformer under a run: a timm ViT or Eva sized for the views, from scratch or from trained weights."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import timm
import torch
from timm.layers import HybridEmbed, build_sincos2d_pos_embed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ctxai.errors import ModelError, one_line
from ctxai.models.mixed_embed import MixedEmbed
from ctxai.models.published import cached_weights, hub_repository
from ctxai.models.settings import BackboneConfig
from ctxai.models.stem import ConvStem
from ctxai.models.weights_io import load_weights
from ctxai.offline import VARIABLE, is_offline

ViT: TypeAlias = VisionTransformer | Eva
"""The networks that this package trains and explains."""

_LONGEST_WAVE = 100  # tokens; grids here are far smaller than those that the usual 10,000 is meant for
_HYBRIDS = "vision_transformer_hybrid"
_MODULES = ("vision_transformer", _HYBRIDS, "eva")
#: More than any of timm's transformers has, so that nothing is built that no machine holds.
_MOST_TOKENS = 2**16


def make_backbone(
    config: BackboneConfig, pixels: int, initialise: bool = True, any_size: bool = False, token_drop: float = 0.0
) -> ViT:
    """A timm VisionTransformer or Eva without a head, for images (N, 3, pixels, pixels); its output is (N, width).

    Args:
        config: architecture and where its weights come from.
        pixels: side of the images.
        initialise: False leaves the weights random, for a caller that loads its own.
        any_size: also take images of other sizes, by resampling the position embeddings on the fly.
        token_drop: share of the patch tokens that are left out in training, drawn anew for every image.

    Raises:
        ModelError: for an unknown name, another architecture, impossible sizes, or weights that do not fit.
    """
    if not any(config.name.split(".")[0] in timm.list_models(module=module) for module in _MODULES):
        raise ModelError(
            f"backbone {config.name!r}: not one of timm's vision transformers; "
            f"see timm.list_models(module=MODULE), where MODULE is one of {', '.join(_MODULES)}"
        )
    if (pixels // (config.patch_size or 8)) ** 2 > _MOST_TOKENS:
        raise ModelError(f"backbone {config.name!r}: {pixels} px are more than {_MOST_TOKENS} tokens")
    download = initialise and config.pretrained and config.weights is None
    stride = _stem_stride(config)
    if pixels % stride:
        raise ModelError(f"backbone {config.name!r}: {pixels} px are not a multiple of its stem's {stride} px")
    options = _options(config, stride, any_size, token_drop)
    if download and is_offline():
        cached = cached_weights(config.name)
        if cached is None:
            raise ModelError(_missing(config.name, f"{VARIABLE} is set, and they are not in the hub's cache"))
        options["pretrained_cfg_overlay"] = {"file": str(cached)}
    try:
        model = timm.create_model(config.name, pretrained=download, img_size=pixels, num_classes=0, **options)
    except OSError as error:
        raise ModelError(_missing(config.name, one_line(error))) from None
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"backbone {config.name!r} cannot be built for {pixels} px images: {one_line(error)}"
        ) from None
    assert isinstance(model, ViT)
    patch = model.patch_embed.feat_ratio()
    assert isinstance(patch, int)
    if pixels % patch:
        raise ModelError(f"backbone {config.name!r}: {pixels} px are not a multiple of its {patch} px patches")
    if initialise and config.weights is not None:
        load_weights(model, config.weights, resample=config.patch_size is not None)
    elif initialise and not config.pretrained:
        _start_well(model)
    return model


def patch_pixels(config: BackboneConfig, pixels: int) -> int:
    """Side of a patch of the backbone, pixels, the architecture's own where ``patch_size`` is none.

    Raises:
        ModelError: as :func:`make_backbone`.
    """
    if config.patch_size is not None:
        return config.patch_size
    with torch.device("meta"):
        patch = make_backbone(config, pixels, initialise=False).patch_embed.feat_ratio()
    assert isinstance(patch, int)
    return patch


def _options(config: BackboneConfig, stride: int, any_size: bool, token_drop: float) -> dict[str, Any]:
    options: dict[str, Any] = dict.fromkeys(("pos_drop_rate", "proj_drop_rate", "attn_drop_rate"), config.drop_rate)
    options["drop_path_rate"] = config.drop_path_rate
    if any_size and config.coarse_margin:
        raise ModelError(
            "backbone: coarse_margin takes images of one size; pretrain without it, and train with it from there"
        )
    if any_size:
        options["dynamic_img_size"] = True
    if token_drop > 0:
        options["patch_drop_rate"] = token_drop
    named: dict[str, Any] = {"depth": config.depth, "embed_dim": config.width, "num_heads": config.heads}
    named |= {"mlp_ratio": config.mlp_ratio, "patch_size": config.patch_size}
    options |= {name: value for name, value in named.items() if value is not None}
    if config.stem and config.patch_size is not None:
        options["embed_layer"] = partial(
            MixedEmbed if config.coarse_margin else HybridEmbed, backbone=ConvStem(config.stem)
        )
        options["patch_size"] = config.patch_size // 2 ** len(config.stem)
    elif config.patch_size is not None and stride > 1:
        if config.patch_size % stride:
            raise ModelError(
                f"backbone {config.name!r}: its convolutional stem needs a patch_size that is a multiple of {stride}, "
                f"found {config.patch_size}; null keeps the architecture's own"
            )
        options["patch_size"] = config.patch_size // stride
    return options


def _stem_stride(config: BackboneConfig) -> int:
    """Pixels per side of the features of a convolutional stem of timm's own; 1 without one."""
    if config.stem or config.name.split(".")[0] not in timm.list_models(module=_HYBRIDS):
        return 1
    with torch.device("meta"):
        embedding = timm.create_model(config.name, depth=1, num_classes=0).patch_embed
    assert isinstance(embedding, HybridEmbed)
    return int(embedding.feature_ratio[0])


def _missing(name: str, reason: str) -> str:
    repository = hub_repository(name)
    place = f"https://huggingface.co/{repository}" if repository else "timm"
    return (
        f"backbone {name!r}: its published weights cannot be downloaded ({reason}); "
        f"take model.safetensors from {place} on another machine and give its path as backbone.weights, "
        "or set backbone.pretrained to false"
    )


def _start_well(model: ViT) -> None:
    """Initial weights from which a few hundred nodules suffice.

    timm's own (standard deviation 0.02 everywhere) leave attention flat and tokens without places for thousands of
    steps. Here the learnt position embeddings start from 2-D sines of the size of the patch embeddings, and the
    matrices of the blocks from Glorot's uniform distribution.
    """
    for name, parameter in model.blocks.named_parameters():
        if parameter.ndim == 2 and name.endswith("weight"):
            nn.init.xavier_uniform_(parameter)
    if model.pos_embed is not None:
        grid = build_sincos2d_pos_embed(list(model.patch_embed.grid_size), model.embed_dim, temperature=_LONGEST_WAVE)
        if isinstance(model.patch_embed, MixedEmbed):
            grid = model.patch_embed.per_token(grid)
        with torch.no_grad():
            model.pos_embed[:, -len(grid) :] = grid
