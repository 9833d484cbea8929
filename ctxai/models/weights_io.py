"""Weights of a backbone from a file: DINO's own checkpoints, timm's, or what `ctxai pretrain` wrote."""

from __future__ import annotations

import argparse
import contextlib
import io
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
_WRAPPERS = ("teacher", "state_dict", "model")
_PREFIXES = ("module.", "backbone.")


def load_weights(model: vision_transformer.VisionTransformer | eva.Eva, path: Path) -> None:
    """Load a checkpoint into a backbone; position embeddings are resampled to the model's grid.

    Of a full DINO checkpoint the teacher is taken. DINO's own prefixes (`module.`, `backbone.`) are removed and heads
    are left out.

    Args:
        model: the backbone, without a head.
        path: a checkpoint file, the folder of a pretraining, or `ctxai:NAME`.

    Raises:
        ModelError: when the file cannot be read as plain tensors, or any weight of the model is missing or misfits.
    """
    path = weights_file(path)
    state = _read_tensors(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelError(f"{path}: holds a {type(state).__name__}, expected weights by name")
    for prefix in _PREFIXES:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    expected = model.state_dict()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # timm prints about every bias that Eva does not have
            converted = _as_timm(state, model)
            state = {name: value for name, value in converted.items() if name in expected}
        missing = sorted(set(expected) - set(state))
        if missing:
            raise ModelError(f"{path}: {len(missing)} weights are missing for this backbone, first {missing[0]}")
        infinite = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
        if infinite:
            raise ModelError(f"{path}: {len(infinite)} weights are not finite, first {infinite[0]}; get the file again")
        model.load_state_dict(state)
    except _DAMAGE as error:
        raise ModelError(f"{path}: weights do not fit this backbone: {one_line(error)}") from None


def _as_timm(state: dict[str, Any], model: vision_transformer.VisionTransformer | eva.Eva) -> dict[str, Any]:
    """Weights under timm's names, positions resampled to the model's grid."""
    if isinstance(model, eva.Eva):
        return eva.checkpoint_filter_fn(state, model)
    return vision_transformer.checkpoint_filter_fn(state, model)


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


def _read_tensors(path: Path) -> dict[str, Any]:
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
