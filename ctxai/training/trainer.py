"""Training with Lightning: a fixed budget, resumable after a kill, the same weights for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from timm.layers import Attention
from torch import nn

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.multicrop import MultiCropDataModule
from ctxai.errors import InputError
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.dino import Dino
from ctxai.training.checkpoints import CHECKPOINT, BestEpoch, ResumeCheckpoint
from ctxai.training.distributed import CoordinatedStop
from ctxai.training.resume import train_resumably
from ctxai.training.settings import LIMIT, ComputeConfig, Execution


def fit(
    model: NoduleClassifier,
    data: NoduleDataModule,
    work_dir: Path,
    *,
    seed: int = 0,
    execution: Execution = Execution(),
    compute: ComputeConfig = ComputeConfig(),
    flags: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint_seconds: float = 30.0,
) -> NoduleClassifier:
    """Train a classifier in place for its whole budget and return it in evaluation mode.

    Args:
        model: as initialised.
        data: training images, limited already where `flags` ask for it; its ``parts`` are ``compute.accumulate``.
        work_dir: where ``last.ckpt`` is kept until the caller removes it.
        seed: of dropout.
        execution: hardware, and whether to resume from ``last.ckpt`` where there is one.
        compute: precision, compilation, accumulation.
        flags: of `pytorch_lightning.Trainer`, as `ctxai.training.trainer_flags` gives them.
        callbacks: further callbacks of Lightning.
        checkpoint_seconds: time between two writings of ``last.ckpt``; 0 writes it after every step.

    Raises:
        InputError: when there is no space for ``last.ckpt``, or options do not fit the hardware or the processes.
        ModelError: when training diverges.
        RunError: when ``last.ckpt`` cannot be used, or another process of the training has ended.
        KeyboardInterrupt: when asked to end; ``last.ckpt`` is there to resume from.
    """
    optim, together = model.optim, CoordinatedStop()
    chosen: list[Callback] = [*callbacks]
    if optim.patience:
        chosen += [EarlyStopping("validation_loss", patience=optim.patience), BestEpoch(work_dir)]
    if optim.ema_decay > 0:
        steps = optim.epochs * len(data.train_dataloader()) // compute.accumulate
        start = 0 if optim.patience else steps // 2
        chosen.append(EMAWeightAveraging(decay=optim.ema_decay, update_starting_at_step=start))
    if compute.channels_last:
        model.to(memory_format=torch.channels_last)
    with _plain_attention(model) if compute.precision == "bf16" and _on_cpu(execution) else nullcontext():
        return train_resumably(
            model,
            data,
            work_dir,
            together,
            [*chosen, ResumeCheckpoint(work_dir, checkpoint_seconds, together)],
            seed=seed,
            execution=execution,
            flags={name: value for name, value in (flags or {}).items() if name != LIMIT},
            precision=_precision(compute.precision, execution),
            max_epochs=optim.epochs,
            accumulate_grad_batches=compute.accumulate,
            gradient_clip_val=optim.gradient_clip,
            limit_val_batches=None if optim.patience or len(data.split.monitor) else 0,
            num_sanity_val_steps=0,
        )


def fit_dino(
    model: Dino,
    data: MultiCropDataModule,
    work_dir: Path,
    *,
    seed: int = 0,
    execution: Execution = Execution(),
    flags: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Dino:
    """Pretrain in place for the whole budget and return the model in evaluation mode.

    Args:
        model: as initialised.
        data: crops.
        work_dir: where ``last.ckpt`` is kept after every epoch, until the caller removes it.
        seed: of the tokens that the student does not see, and of stochastic depth.
        execution: hardware, and whether to resume from ``last.ckpt`` where there is one.
        flags: of `pytorch_lightning.Trainer`, as `ctxai.training.trainer_flags` gives them.
        callbacks: further callbacks of Lightning.

    Raises:
        InputError, ModelError, RunError, KeyboardInterrupt: as :func:`fit`.
    """
    every_epoch = ModelCheckpoint(work_dir, Path(CHECKPOINT).stem, enable_version_counter=False)
    return train_resumably(
        model,
        data,
        work_dir,
        CoordinatedStop(),
        [*callbacks, every_epoch],
        seed=seed,
        execution=execution,
        flags=flags,
        max_epochs=model.optim.epochs,
        gradient_clip_val=model.optim.gradient_clip,
        reload_dataloaders_every_n_epochs=1,
    )


@contextmanager
def _plain_attention(model: nn.Module) -> Iterator[None]:
    """Attention by plain products for a while: torch's fused one takes nearly twice as long in bf16 on a CPU."""
    fused = [module for module in model.modules() if isinstance(module, Attention) and module.fused_attn]
    for module in fused:
        module.fused_attn = False  # type: ignore[misc]
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True  # type: ignore[misc]


def _precision(name: str, execution: Execution) -> Any:
    if name == "fp16" and _on_cpu(execution):
        raise InputError("compute.precision fp16 needs a GPU; expected fp32 or bf16 here")
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[name]


def _on_cpu(execution: Execution) -> bool:
    return execution.accelerator == "cpu" or (execution.accelerator == "auto" and not torch.cuda.is_available())
