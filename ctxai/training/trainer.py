"""Fitting a classifier with Lightning: a fixed budget, resumable after a kill, the same weights for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging

from ctxai.data.datamodule import NoduleDataModule
from ctxai.errors import InputError
from ctxai.models.classifier import NoduleClassifier
from ctxai.progress import console, quiet_lightning
from ctxai.training.checkpointing import fit_or_go_on, shared_callbacks
from ctxai.training.checkpoints import CHECKPOINT, AtomicCheckpointIO, KeepLast
from ctxai.training.distributed import CoordinatedStop, process_environment
from ctxai.training.early_stopping import StopEarly
from ctxai.training.settings import ComputeConfig


def fit(
    model: NoduleClassifier,
    data: NoduleDataModule,
    work_dir: Path,
    *,
    seed: int = 0,
    resume: bool = True,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    compute: ComputeConfig = ComputeConfig(),
    epochs_now: int | None = None,
    checkpoint_seconds: float = 30.0,
) -> NoduleClassifier:
    """Train ``model`` in place for its whole budget and return it in evaluation mode.

    Args:
        model: as initialised.
        data: training images; its ``parts`` are ``compute.accumulate``.
        work_dir: where ``last.ckpt`` is kept until the caller removes it.
        seed: of dropout.
        resume: go on from ``last.ckpt`` where there is one.
        accelerator: Lightning's name of the hardware.
        devices: how many of them; under SLURM or torchrun this is per node.
        num_nodes: machines.
        compute: precision, compilation, accumulation.
        epochs_now: stop after this many epochs in all, leaving ``last.ckpt`` to go on from; None trains to the end.
        checkpoint_seconds: time between two writings of ``last.ckpt``; 0 writes it after every step.

    Raises:
        InputError: when there is no space for ``last.ckpt``, or options do not fit the hardware or the processes.
        ModelError: when training diverges.
        RunError: when ``last.ckpt`` cannot be used, or another process of the training has ended.
        KeyboardInterrupt: when asked to end; ``last.ckpt`` is there to go on from.
    """
    optim, checkpoint = model.optim, work_dir / CHECKPOINT
    steps = optim.epochs * len(data.train_dataloader()) // compute.accumulate
    together = CoordinatedStop()
    callbacks = [*shared_callbacks(seed, epochs_now, together), KeepLast(work_dir, checkpoint_seconds, together)]
    if optim.patience:
        callbacks.append(StopEarly(optim.patience))
    if optim.ema_decay > 0:
        start = 0 if optim.patience else steps // 2
        callbacks.append(EMAWeightAveraging(decay=optim.ema_decay, update_starting_at_step=start))
    quiet_lightning()
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        precision=_precision(compute.precision, accelerator),
        max_epochs=optim.epochs,
        accumulate_grad_batches=compute.accumulate,
        limit_val_batches=None if optim.patience else 0,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), process_environment(devices, num_nodes)],
        default_root_dir=work_dir,
        gradient_clip_val=optim.gradient_clip,
        logger=False,
        enable_progress_bar=console.is_terminal,
        enable_model_summary=False,
        deterministic=accelerator == "cpu",
        log_every_n_steps=1,
    )
    fit_or_go_on(trainer, model, data, checkpoint, resume, together)
    return model.cpu().eval()


def _precision(name: str, accelerator: str) -> Any:
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
    if name == "fp16" and on_cpu:
        raise InputError("compute.precision fp16 needs a GPU; expected fp32 or bf16 here")
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[name]
