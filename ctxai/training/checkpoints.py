"""Checkpoints to go on from: written often, and whole or not at all."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ctxai.files import atomic_path
from ctxai.training.distributed import CoordinatedStop

CHECKPOINT = "last.ckpt"
_STEPS_BETWEEN_AGREEMENTS = 20  # several processes have to agree that it is time, which makes them wait for each other


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint files that appear whole; a full disk leaves the one before."""

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


class KeepLast(Checkpoint):
    """Keep ``last.ckpt``, from which a killed training goes on and ends with the same weights.

    It is written after a step once ``seconds`` have passed, and when the training is asked to end.

    Args:
        folder: where the file is.
        seconds: between two files; 0 writes one after every step.
        together: what says that the training is asked to end.
    """

    def __init__(self, folder: Path, seconds: float, together: CoordinatedStop) -> None:
        self.path, self.seconds, self._together = folder / CHECKPOINT, seconds, together
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write when it is time, between two optimiser steps of one epoch."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and batch_idx + 1 < trainer.num_training_batches and self._time(trainer, batch_idx):
            self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write when it is time, or when this was the last epoch for now."""
        if trainer.should_stop or self._time(trainer, 0):
            self._write(trainer)

    def _time(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        if self._together.ends:
            return True
        if trainer.world_size > 1:
            if self.seconds and batch_idx % _STEPS_BETWEEN_AGREEMENTS:
                return False
            return bool(trainer.strategy.broadcast(time.monotonic() - self._last >= self.seconds))
        return time.monotonic() - self._last >= self.seconds

    def _write(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._last = time.monotonic()
