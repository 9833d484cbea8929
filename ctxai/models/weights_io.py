"""Weights of a backbone from a file: DINO's own checkpoints, timm's, or what `ctxai pretrain` wrote."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import math
import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import eva, vision_transformer

from ctxai.errors import ModelError, one_line
from ctxai.models.checkpoint_names import backbone_in, is_head
from ctxai.models.mixed_embed import MixedEmbed
from ctxai.suggestions import did_you_mean

WEIGHTS = "weights.safetensors"
"""Name of the weights in a folder that `ctxai pretrain` or `ctxai train` wrote."""

_SHIPPED = Path(__file__).parents[1] / "weights"
_OURS = "ctxai:"
#: What torch and safetensors raise on files that are damaged, or hold more than tensors and plain values.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
logger = logging.getLogger(__name__)

_WRAPPERS = ("teacher", "state_dict", "model")


def load_weights(model: vision_transformer.VisionTransformer | eva.Eva, path: Path, resample: bool = True) -> None:
    """Load a checkpoint into a backbone; position embeddings are resampled to the model's grid.

    Of a full DINO checkpoint the teacher is taken. Prefixes are removed, and heads left out (see `backbone_in`).

    Args:
        model: the backbone, without a head.
        path: a checkpoint file, the folder of a pretraining, or `ctxai:NAME`.
        resample: take patch embeddings of another patch size, too, resampled to the model's.

    Raises:
        ModelError: when the file cannot be read as plain tensors, when any weight of the model is missing or misfits,
            or when the file holds a part of a backbone that the model does not have.
    """
    path = weights_file(path)
    state = _by_name(path)
    expected = model.state_dict()
    try:
        state = backbone_in(state)
        _check_patch_size(state, model, path, resample)
        with contextlib.redirect_stdout(io.StringIO()):  # timm prints about every bias that Eva does not have
            converted = _as_timm(state, model)
        state = {name: value for name, value in converted.items() if name in expected}
        missing = sorted(set(expected) - set(state))
        if missing:
            raise ModelError(f"{path}: {len(missing)} weights are missing for this backbone, first {missing[0]}")
        more = sorted(name for name in set(converted) - set(expected) if not is_head(name))
        if more:
            raise ModelError(
                f"{path}: {len(more)} weights have no place in this backbone, first {more[0]}; "
                "name the architecture that the file is of, with its own depth"
            )
        infinite = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
        if infinite:
            raise ModelError(f"{path}: {len(infinite)} weights are not finite, first {infinite[0]}; get the file again")
        model.load_state_dict(state)
    except _DAMAGE as error:
        raise ModelError(f"{path}: weights do not fit this backbone: {one_line(error)}") from None


def sizes_in(path: Path) -> tuple[int | None, int | None]:
    """Patch size and side of the images, pixels, of the backbone in a checkpoint; None where the file does not tell.

    Args:
        path: as of :func:`load_weights`.

    Raises:
        ModelError: when the file cannot be read as plain tensors, or holds no backbone.
    """
    path = weights_file(path)
    try:
        state = backbone_in(_by_name(path))
        kernel, positions = state.get("patch_embed.proj.weight"), state.get("pos_embed")
        if kernel is None or kernel.ndim != 4 or any(name.startswith("patch_embed.backbone.") for name in state):
            return None, None
        patch = int(kernel.shape[-1])
        side = 0 if positions is None else math.isqrt(positions.shape[-2])  # prefix tokens are fewer than a row
        return patch, patch * side or None
    except _DAMAGE as error:
        raise ModelError(f"{path}: holds no backbone: {one_line(error)}") from None


def _by_name(path: Path) -> dict[str, Any]:
    """Weights of a checkpoint by name, without their wrappers.

    Raises:
        ModelError: as :func:`read_tensors`, and for a file that holds no weights by name.
    """
    state: Any = read_tensors(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelError(f"{path}: holds a {type(state).__name__}, expected weights by name")
    return state


def _check_patch_size(
    state: dict[str, Any], model: vision_transformer.VisionTransformer | eva.Eva, path: Path, resample: bool
) -> None:
    """Refuse patch embeddings of another size than a name stands for; say where they are resampled.

    Raises:
        ModelError: naming both sizes.
    """
    name, expected = "patch_embed.proj.weight", model.state_dict()
    given = state.get(name)
    if name not in expected or given is None or given.ndim != 4 or given.shape[-1] == expected[name].shape[-1]:
        return
    stride = getattr(model.patch_embed, "feature_ratio", (1, 1))[0]  # of a convolutional stem
    own, wanted = stride * given.shape[-1], stride * expected[name].shape[-1]
    if not resample:
        raise ModelError(
            f"{path}: patches of {own} px, but this backbone has {wanted} px; name the architecture that the file is "
            f"of, or give patch_size {wanted} to resample them"
        )
    logger.warning("%s: patch embeddings of %d px are resampled to %d px", path, own, wanted)


def _as_timm(state: dict[str, Any], model: vision_transformer.VisionTransformer | eva.Eva) -> dict[str, Any]:
    """Weights under timm's names, positions resampled to the model's grid."""
    if isinstance(model, eva.Eva):
        return eva.checkpoint_filter_fn(state, model)
    converted = vision_transformer.checkpoint_filter_fn(state, model)
    embed, positions = model.patch_embed, converted.get("pos_embed")
    if isinstance(embed, MixedEmbed) and positions is not None and positions.shape[1] >= embed.cells.numel():
        prefix = positions.shape[1] - embed.cells.numel()  # timm has resampled them to the cells
        converted["pos_embed"] = torch.cat([positions[:, :prefix], embed.per_token(positions[0, prefix:])[None]], 1)
    return converted


def weights_file(path: Path) -> Path:
    """The file that ``backbone.weights`` means.

    Raises:
        ModelError: for the name of weights that do not come with the package.
    """
    if str(path).startswith(_OURS):
        name = str(path).removeprefix(_OURS)
        known = sorted(file.parent.name for file in _SHIPPED.glob(f"*/{WEIGHTS}"))
        if name not in known:
            ours = ", ".join(_OURS + one for one in known) or "none"
            raise ModelError(f"{path}: expected one of {ours}{did_you_mean(name, known)}")
        return _SHIPPED / name / WEIGHTS
    return Path(path) / WEIGHTS if Path(path).is_dir() else Path(path)


def read_tensors(path: Path) -> dict[str, Any]:
    """Content of a checkpoint file: tensors and plain values; nothing is unpickled, and TorchScript is refused.

    Raises:
        ModelError: when there is no such file, or it is damaged or holds anything else.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file; backbone.weights takes a file, or a folder of ctxai pretrain")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # DINO's full checkpoints hold the options of their command line, a plain bag of values. What torch warns of are
        # its own ways through an old or damaged file.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise ModelError(f"{path}: cannot be read as plain tensors ({one_line(error)}); nothing is unpickled") from None
