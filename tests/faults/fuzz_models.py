"""Fuzzed readers of weights and runs: checkpoints in both formats, a run's configuration, a run's other files."""

from __future__ import annotations

import argparse
import functools
import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer

from ctxai.models.weights_io import load_weights
from ctxai.run.config import RunConfig
from ctxai.run.files import READERS
from ctxai.run.ood import Novelty

from runs import untrained_run


def _tiny_backbone() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(img_size=2, patch_size=1, embed_dim=2, depth=1, num_heads=1, num_classes=0)


@functools.cache
def _backbone() -> VisionTransformer:
    return _tiny_backbone()


def checkpoint(data: bytes, folder: Path) -> None:
    """Weights of a backbone as torch saves them."""
    (folder / "weights.pth").write_bytes(data)
    load_weights(_backbone(), folder / "weights.pth")


def checkpoints() -> list[bytes]:
    """DINO's form, and the form that torch saved before it used zip archives."""
    state = _tiny_backbone().state_dict()
    file, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"teacher": {f"backbone.{k}": v for k, v in state.items()}, "args": argparse.Namespace(a=1)}, file)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    return [file.getvalue(), legacy.getvalue()]


def tensors(data: bytes, folder: Path) -> None:
    """Weights of a backbone as safetensors."""
    (folder / "weights.safetensors").write_bytes(data)
    load_weights(_backbone(), folder / "weights.safetensors")


def tensor_files() -> list[bytes]:
    """All weights."""
    return [save(_tiny_backbone().state_dict())]


#: Networks that were built already: their descriptions.
_BUILT: set[str] = set()


def config(data: bytes, folder: Path) -> None:
    """A run's configuration and the network that it describes, of one block unless it says how many."""
    del folder
    read = RunConfig.from_yaml(data)
    network = repr((read.backbone, read.views.pixels, read.targets, read.optim, read.tune, read.loss))
    if network not in _BUILT:
        _BUILT.add(network)
        depth = 1 if read.backbone.depth is None else read.backbone.depth
        replace(read, backbone=replace(read.backbone, depth=depth)).make_network()


def configs() -> list[bytes]:
    """Each group of options on its own."""
    options = yaml.safe_load(untrained_run().config.to_yaml())
    return [yaml.safe_dump({name: value}, sort_keys=False).encode() for name, value in options.items()]


_RUN_FILES = ("calibration.json", "provenance.json", "metrics.json", "predictions.csv", "novelty.safetensors")


def run_file(data: bytes, folder: Path) -> None:
    """A file of a run; the first byte says which."""
    if data:
        name = _RUN_FILES[data[0] % len(_RUN_FILES)]
        (folder / name).write_bytes(data[1:])
        READERS[name](folder / name)


def run_files() -> list[bytes]:
    """Every file of a run."""
    run = untrained_run()
    run.novelty = Novelty(*(np.ones(shape, np.float32) for shape in ((2,), (2, 2), (3,))))
    run.predictions = pd.DataFrame({"nodule_id": ["a", "b"], "patient_id": "P", "malignancy": [2.5, None]})
    with tempfile.TemporaryDirectory(prefix="ctxai-fuzz-") as folder:
        run.save(Path(folder, "run"))
        return [bytes([place]) + Path(folder, "run", name).read_bytes() for place, name in enumerate(_RUN_FILES)]
