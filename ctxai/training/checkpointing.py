"""What every training with Lightning shares: going on from a checkpoint with the same random numbers, quietly."""

from __future__ import annotations

import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.warnings import PossibleUserWarning

from ctxai.errors import RunError, one_line
from ctxai.progress import console
from ctxai.training.distributed import CoordinatedStop

_EXPECTED_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # Rendering is cheap and the number of workers is the user's own choice.
    (".*does not have many workers", PossibleUserWarning),
    # It is meant to hold the checkpoint to go on from.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    # Who starts the processes is said by ctxai.training.distributed.
    ("The `srun` command is available", PossibleUserWarning),
    # Of the class token and the position embedding in several processes; not an error, as it says itself.
    ("Grad strides do not match bucket view strides", UserWarning),
    # Lightning's own use of torch.
    (r".*LeafSpec.* is deprecated", FutureWarning),
)

logger = logging.getLogger(__name__)


class SeedEveryStep(Callback):
    """Restart torch's generator at every step, so that dropout is the same after a resume."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed by the number of steps so far, the part of the step and the process."""
        part = batch_idx % trainer.accumulate_grad_batches
        torch.manual_seed(
            self._seed * 1_000_003 + trainer.global_step + (part << 40) + (trainer.global_rank << 50),
        )


class StopAfter(Callback):
    """Stop after a number of epochs in all, leaving the checkpoint to go on from."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the trainer to stop."""
        trainer.should_stop = trainer.current_epoch + 1 >= self._epochs


def shared_callbacks(seed: int, epochs_now: int | None, together: CoordinatedStop) -> list[Callback]:
    """Seeds, an end before the last epoch where it is asked for, and a progress bar on a terminal."""
    callbacks: list[Callback] = [SeedEveryStep(seed), together]
    if console.is_terminal:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    if epochs_now:
        callbacks.append(StopAfter(epochs_now))
    return callbacks


def fit_or_go_on(
    trainer: pl.Trainer,
    model: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: Path,
    resume: bool,
    together: CoordinatedStop,
) -> None:
    """Train in place, from ``checkpoint`` where there is one and ``resume`` is on.

    Raises:
        RunError: when the checkpoint cannot be used, or another process of the training has ended.
        KeyboardInterrupt: when asked to end, by Ctrl-C or SIGTERM.
    """
    go_on = resume and checkpoint.is_file()
    if go_on:
        logger.info("going on from %s", checkpoint)
    with warnings.catch_warnings():
        for message, category in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        try:
            trainer.fit(model, data, ckpt_path=checkpoint if go_on else None, weights_only=True)
        except SIGTERMException:
            raise KeyboardInterrupt from None
        except (pickle.UnpicklingError, KeyError, RuntimeError, EOFError) as error:
            if together.began and trainer.world_size > 1 and _from_another_process(error):
                raise RunError(
                    f"another process of this training has ended ({one_line(error)}); see what it said, and give the "
                    "same command again to go on"
                ) from None
            if together.began or not go_on:
                raise
            raise RunError(
                f"{checkpoint}: cannot be resumed ({one_line(error)}); give the command again with --resume false"
            ) from None
    if trainer.interrupted:
        raise KeyboardInterrupt


def _from_another_process(error: Exception) -> bool:
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in str(error)  # which raises RuntimeError
