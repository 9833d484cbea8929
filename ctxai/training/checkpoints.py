"""Checkpoint files of a training: one to resume from, one of the best epoch; each appears whole or not at all."""

from __future__ import annotations

import io
import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ctxai.files import atomic_path
from ctxai.training.distributed import CoordinatedStop

CHECKPOINT = "last.ckpt"
BEST = "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint files that appear whole; a full disk leaves the previous one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            InputError: when the disk is full or the folder cannot be written.
        """
        # Into memory first: torch's own writer hides the system's error.
        whole = io.BytesIO()
        torch.save(checkpoint, whole)
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(whole.getbuffer())


class ResumeCheckpoint(ModelCheckpoint):
    """``last.ckpt``, written by time, and when training is asked to end.

    Lightning's own callback also writes between the parts of an accumulated step, whose gradients no checkpoint has,
    and after the last step of an epoch before the epoch's end is recorded; a training resumed from there differs.

    Args:
        folder: where the file is written.
        seconds: between two files; 0 writes one after every step.
        together: tells when training is asked to end.
    """

    def __init__(self, folder: Path, seconds: float, together: CoordinatedStop) -> None:
        interval = timedelta(seconds=seconds)
        super().__init__(folder, Path(CHECKPOINT).stem, train_time_interval=interval, enable_version_counter=False)
        self._together = together

    @property
    def state_key(self) -> str:
        """The same for every interval, so that a training may be resumed with another one."""
        return type(self).__qualname__

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write when it is time, between two optimiser steps of one epoch."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and batch_idx + 1 < trainer.num_training_batches:
            self._write_when_due(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write when it is time, or when this was the last epoch for now."""
        self._write_when_due(trainer, pl_module)

    def _write_when_due(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.should_stop or self._together.ends:
            self._last_time_checked = -math.inf
        super().on_train_batch_end(trainer, pl_module, None, None, 0)


class BestEpoch(ModelCheckpoint):
    """``best.ckpt`` of the epoch with the lowest ``validation_loss``; its weights become the model's at the end.

    Where weights are averaged, the average is validated, written and restored.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Path(BEST).stem, "validation_loss", enable_version_counter=False)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the best weights."""
        best = Path(str(self.dirpath), BEST)
        if best.is_file():
            pl_module.load_state_dict(torch.load(best, map_location=pl_module.device, weights_only=True)["state_dict"])
