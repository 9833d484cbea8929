"""The vision transformer under a run: a timm ViT sized for the views, from scratch or from DINO weights."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn

from ctxai.errors import ModelError

_WRAPPERS = ("teacher", "state_dict", "model")
_LONGEST_WAVE = 100  # tokens; grids here are far smaller than those that the usual 10,000 is meant for
_PREFIXES = ("module.", "backbone.")


@dataclass(frozen=True)
class BackboneConfig:
    """Which vision transformer to build.

    Args:
        name: a timm vision transformer; a `.dino` tag names its published DINO weights.
        patch_size: pixels per token side; none keeps the architecture's own.
        depth: number of blocks; none keeps the architecture's own.
        drop_rate: dropout of the tokens and blocks.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        pretrained: download the weights that timm publishes for `name`.
        weights: a checkpoint file to start from (safetensors, or a PyTorch file of plain tensors, such as DINO's).
    """

    name: str = "vit_tiny_patch16_224"
    patch_size: int | None = 8
    depth: int | None = None
    drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    pretrained: bool = False
    weights: Path | None = None


def make_backbone(config: BackboneConfig, pixels: int, initialise: bool = True) -> VisionTransformer:
    """A timm VisionTransformer without a head, for images (N, 3, pixels, pixels); its output is (N, width).

    Args:
        config: architecture and where its weights come from.
        pixels: side of the images.
        initialise: False leaves the weights random, for a caller that loads its own.

    Raises:
        ModelError: for an unknown name, another architecture, impossible sizes, or weights that do not fit.
    """
    options: dict[str, Any] = {"drop_rate": config.drop_rate, "drop_path_rate": config.drop_path_rate}
    if config.patch_size is not None:
        options["patch_size"] = config.patch_size
    if config.depth is not None:
        options["depth"] = config.depth
    if config.name.split(".")[0] not in timm.list_models(module="vision_transformer"):
        raise ModelError(
            f"backbone {config.name!r}: not one of timm's vision transformers; "
            "see timm.list_models(module='vision_transformer')"
        )
    try:
        model = timm.create_model(
            config.name, pretrained=initialise and config.pretrained, img_size=pixels, num_classes=0, **options
        )
    except OSError as error:
        raise ModelError(
            f"backbone {config.name!r}: its published weights cannot be downloaded ({_one_line(error)}); "
            "give backbone.weights a checkpoint file, or set backbone.pretrained to false"
        ) from None
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"backbone {config.name!r} cannot be built for {pixels} px images: {_one_line(error)}"
        ) from None
    patch = model.patch_embed.patch_size[0]
    if pixels % patch:
        raise ModelError(f"backbone {config.name!r}: {pixels} px are not a multiple of its {patch} px patches")
    if initialise and config.weights is not None:
        load_weights(model, config.weights)
    elif initialise and not config.pretrained:
        _start_well(model)
    return model


def _start_well(model: VisionTransformer) -> None:
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
        with torch.no_grad():
            model.pos_embed[:, -len(grid) :] = grid


def load_weights(model: VisionTransformer, path: Path) -> None:
    """Load a checkpoint into a backbone; position embeddings are resampled to the model's grid.

    DINO's own wrappers (teacher, `module.`, `backbone.`) are removed and heads are left out.

    Raises:
        ModelError: when the file cannot be read as plain tensors, or any weight of the model is missing or misfits.
    """
    state = _read_tensors(Path(path))
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    for prefix in _PREFIXES:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    expected = model.state_dict()
    try:
        state = {name: value for name, value in checkpoint_filter_fn(state, model).items() if name in expected}
        missing = sorted(set(expected) - set(state))
        if missing:
            raise ModelError(f"{path}: {len(missing)} weights are missing for this backbone, first {missing[0]}")
        model.load_state_dict(state)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: weights do not fit this backbone: {_one_line(error)}") from None


def _read_tensors(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError) as error:
        raise ModelError(
            f"{path}: cannot be read as plain tensors ({_one_line(error)}); nothing is unpickled"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
