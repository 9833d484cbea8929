"""Fitting DINO with Lightning: a fixed budget, resumable after a kill, the same weights for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from ctxai.data.multicrop import MultiCropDataModule
from ctxai.models.dino import Dino
from ctxai.progress import console, quiet_lightning
from ctxai.training.checkpointing import fit_or_go_on, shared_callbacks
from ctxai.training.checkpoints import CHECKPOINT, AtomicCheckpointIO
from ctxai.training.distributed import CoordinatedStop, process_environment


def fit_dino(
    model: Dino,
    data: MultiCropDataModule,
    work_dir: Path,
    *,
    seed: int = 0,
    resume: bool = True,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    epochs_now: int | None = None,
) -> Dino:
    """Train ``model`` in place for its whole budget and return it in evaluation mode.

    Args:
        model: as initialised.
        data: crops.
        work_dir: where ``last.ckpt`` is kept after every epoch, until the caller removes it.
        seed: of the tokens that the student does not see, and of stochastic depth.
        resume: go on from ``last.ckpt`` where there is one.
        accelerator: Lightning's name of the hardware.
        devices: how many of them; under SLURM or torchrun this is per node.
        num_nodes: machines.
        epochs_now: stop after this many epochs in all, leaving ``last.ckpt`` to go on from; None trains to the end.

    Raises:
        InputError: when there is no space for ``last.ckpt``, or options do not fit the processes.
        ModelError: when training diverges.
        RunError: when ``last.ckpt`` cannot be used, or another process of the training has ended.
    """
    checkpoint, together = work_dir / CHECKPOINT, CoordinatedStop()
    keep = ModelCheckpoint(work_dir, filename=checkpoint.stem, save_top_k=1, monitor=None, enable_version_counter=False)
    quiet_lightning()
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        max_epochs=model.optim.epochs,
        callbacks=[*shared_callbacks(seed, epochs_now, together), keep],
        plugins=[AtomicCheckpointIO(), process_environment(devices, num_nodes)],
        default_root_dir=work_dir,
        use_distributed_sampler=False,
        gradient_clip_val=model.optim.gradient_clip,
        logger=False,
        enable_progress_bar=console.is_terminal,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        deterministic=accelerator == "cpu",
        log_every_n_steps=1,
    )
    fit_or_go_on(trainer, model, data, checkpoint, resume, together)
    return model.cpu().eval()
