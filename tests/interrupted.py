"""A short training that a process can be killed in, or that two processes share; run by the tests.

python interrupted.py STORE_DIR WORK_DIR OUT_FILE [--kill-at STEP] [--ask-at STEP] [--devices PROCESSES]
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import save_file

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.settings import AugmentConfig, FoldConfig, ViewConfig
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.training.settings import Execution
from ctxai.training.trainer import fit


class StopAfter(Callback):
    """End a training after so many epochs, as a kill would, with a checkpoint to resume from."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self._epochs


class Killed(NoduleClassifier):
    """A classifier whose process dies, without a word, before it computes a step, or is asked to end in the middle."""

    kill_at = ask_at = -1

    def training_step(self, batch, batch_idx):
        if self.global_step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.global_step == self.ask_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, batch_idx)


def prepare(store: Path, kind: type[NoduleClassifier] = NoduleClassifier, drop_path_rate: float = 0.1):
    """Model and data of six epochs of four steps."""
    views = ViewConfig(views=("axial",), pixels=16)
    data = NoduleDataModule(store, views, AugmentConfig(), FoldConfig(), batch_size=7)
    torch.manual_seed(0)
    model = kind(BackboneConfig(depth=1, drop_path_rate=drop_path_rate), 16, OptimConfig(epochs=4, batch_size=7))
    model.fit_scaler(data.targets[data.split.training])
    return model, data


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kill-at", type=int, default=-1)
    parser.add_argument("--ask-at", type=int, default=-1)
    parser.add_argument("--devices", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, data = prepare(options.store, Killed, 0.1 if options.devices == 1 else 0.0)
    model.kill_at, model.ask_at = options.kill_at, options.ask_at
    fit(
        model,
        data,
        options.work,
        execution=Execution(accelerator="cpu", devices=options.devices),
        checkpoint_seconds=0.0,
    )
    if int(os.environ.get("RANK", 0)) == 0:
        save_file(model.state_dict(), options.out, {"losses": repr(model.epoch_losses)})


if __name__ == "__main__":
    main()
