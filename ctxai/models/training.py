"""Fitting a classifier with Lightning: a fixed budget, resumable after a kill, the same weights for the same seed."""

from __future__ import annotations

import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from pytorch_lightning.utilities.warnings import PossibleUserWarning

from ctxai.data.datamodule import NoduleDataModule
from ctxai.errors import RunError
from ctxai.models.classifier import NoduleClassifier
from ctxai.progress import console

CHECKPOINT = "last.ckpt"
_CHECKPOINTS_PER_RUN = 20

_EXPECTED_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # Rendering is cheap and the number of workers is the user's own choice.
    (".*does not have many workers", PossibleUserWarning),
    # It is meant to hold the checkpoint to go on from.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    # Lightning's own use of torch.
    (r".*LeafSpec.* is deprecated", FutureWarning),
)

logger = logging.getLogger(__name__)


class _SeedEveryStep(Callback):
    """Restart torch's generator at every step, so that dropout is the same after a resume."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed by the number of steps so far."""
        torch.manual_seed(self._seed * 1_000_003 + trainer.global_step)


def fit(
    model: NoduleClassifier,
    data: NoduleDataModule,
    work_dir: Path,
    *,
    seed: int = 0,
    resume: bool = True,
    accelerator: str = "auto",
    devices: int = 1,
    epochs_now: int | None = None,
) -> NoduleClassifier:
    """Train ``model`` in place for its whole budget and return it in evaluation mode.

    Args:
        model: as initialised.
        data: training images.
        work_dir: where ``last.ckpt`` is kept until the caller removes it.
        seed: of dropout.
        resume: go on from ``last.ckpt`` where there is one.
        accelerator: Lightning's name of the hardware.
        devices: how many of them; under SLURM or torchrun this is per node.
        epochs_now: stop after this many epochs in all, leaving ``last.ckpt`` to go on from; None trains to the end.

    Raises:
        ModelError: when training diverges.
        RunError: when ``last.ckpt`` cannot be used.
    """
    optim = model.optim
    steps = optim.epochs * -(-len(data.split.training) // (optim.batch_size * devices))
    checkpoint = work_dir / CHECKPOINT
    callbacks: list[Callback] = [
        _SeedEveryStep(seed),
        ModelCheckpoint(
            work_dir,
            filename=checkpoint.stem,
            monitor=None,
            save_top_k=1,
            every_n_epochs=1 if epochs_now else max(1, optim.epochs // _CHECKPOINTS_PER_RUN),
            enable_version_counter=False,
        ),
    ]
    if optim.ema_decay > 0:
        callbacks.append(EMAWeightAveraging(decay=optim.ema_decay, update_starting_at_step=steps // 2))
    if console.is_terminal:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logger.getEffectiveLevel()))
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        max_epochs=optim.epochs,
        callbacks=[*callbacks, *([_StopAfter(epochs_now)] if epochs_now else [])],
        gradient_clip_val=optim.gradient_clip,
        logger=False,
        enable_progress_bar=console.is_terminal,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        deterministic=accelerator == "cpu",
        log_every_n_steps=1,
    )
    go_on = resume and checkpoint.is_file()
    if go_on:
        logger.info("going on from %s", checkpoint)
    with warnings.catch_warnings():
        for message, category in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        try:
            trainer.fit(model, data, ckpt_path=checkpoint if go_on else None, weights_only=True)
        except (pickle.UnpicklingError, KeyError, RuntimeError, EOFError) as error:
            if not go_on:
                raise
            reason = " ".join(str(error).split())[:160]
            raise RunError(f"{checkpoint}: cannot be resumed ({reason}); train with --resume false") from None
    if trainer.interrupted:
        raise KeyboardInterrupt
    return model.cpu().eval()


class _StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self._epochs
