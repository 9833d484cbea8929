"""A Lightning trainer whose training can be resumed: the same random numbers, quiet, checkpoints of plain values."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, RichProgressBar
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.warnings import PossibleUserWarning

from ctxai.errors import RunError, one_line
from ctxai.interrupts import keep_interrupts, raise_interrupt
from ctxai.progress import console, quiet_lightning
from ctxai.training.checkpoints import CHECKPOINT, AtomicCheckpointIO
from ctxai.training.distributed import CoordinatedStop, logger, process_environment
from ctxai.training.loggers import make_logger
from ctxai.training.settings import Execution

Model = TypeVar("Model", bound=pl.LightningModule)

_EXPECTED_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # Rendering is cheap and the number of workers is the user's own choice.
    (".*does not have many workers", PossibleUserWarning),
    # It is meant to hold the checkpoint to resume from.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    # ctxai.training.distributed logs who starts the processes.
    ("The `srun` command is available", PossibleUserWarning),
    # Of the class token and the position embedding in several processes; not an error, as it says itself.
    ("Grad strides do not match bucket view strides", UserWarning),
    # Every start of a training has a log of its own.
    ("Experiment logs directory .* exists and is not empty", UserWarning),
    # Lightning's own use of torch.
    (r".*LeafSpec.* is deprecated", FutureWarning),
)


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


class EndWhenInterrupted(Callback):
    """End before the next batch by a Ctrl-C that no batch has raised."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Raise it."""
        raise_interrupt()

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Raise it."""
        raise_interrupt()


def train_resumably(
    model: Model,
    data: pl.LightningDataModule,
    work_dir: Path,
    together: CoordinatedStop,
    callbacks: Sequence[Callback],
    *,
    seed: int,
    execution: Execution,
    flags: Mapping[str, Any] | None = None,
    **options: Any,
) -> Model:
    """Train in place, from ``last.ckpt`` where there is one to resume, and return in evaluation mode.

    Args:
        model: as initialised.
        data: training and validation batches.
        work_dir: where ``last.ckpt`` is kept.
        together: ends all processes after the same step.
        callbacks: further ones; one of them has to write ``last.ckpt``.
        seed: of dropout.
        execution: hardware, logger, and whether to resume.
        flags: of `pytorch_lightning.Trainer`, as `ctxai.training.trainer_flags` gives them.
        options: further options of `pytorch_lightning.Trainer`.

    Raises:
        InputError: when there is no space for ``last.ckpt``, or options do not fit the processes.
        RunError: when the checkpoint cannot be used, or another process of the training has ended.
        KeyboardInterrupt: when asked to end, by Ctrl-C or SIGTERM.
    """
    quiet_lightning()
    shared: list[Callback] = [SeedEveryStep(seed), EndWhenInterrupted(), together]
    record = make_logger(execution.logger, work_dir)
    if record:
        shared.append(LearningRateMonitor("epoch"))
    if console.is_terminal:
        shared.append(RichProgressBar(console_kwargs={"stderr": True}))
    chosen = {
        "enable_progress_bar": console.is_terminal,
        "enable_model_summary": False,
        "deterministic": execution.accelerator == "cpu",
        "log_every_n_steps": 1,
        **(flags or {}),
    }
    trainer = pl.Trainer(
        accelerator=execution.accelerator,
        devices=execution.devices,
        num_nodes=execution.num_nodes,
        callbacks=[*shared, *callbacks],
        plugins=[AtomicCheckpointIO(), process_environment(execution)],
        default_root_dir=work_dir,
        use_distributed_sampler=False,
        logger=record or False,
        **chosen,
        **options,
    )
    checkpoint = work_dir / CHECKPOINT
    found = checkpoint if execution.resume and checkpoint.is_file() else None
    if found:
        logger.info("resuming from %s", found)
    with keep_interrupts(), warnings.catch_warnings():
        for message, category in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        try:
            trainer.fit(model, data, ckpt_path=found, weights_only=True)
        except SIGTERMException:
            raise _interrupted(checkpoint, trainer) from None
        except SystemExit as ended:  # Lightning's answer to Ctrl-C
            if isinstance(ended.__context__, KeyboardInterrupt):
                raise _interrupted(checkpoint, trainer) from None
            raise
        except (pickle.UnpicklingError, KeyError, RuntimeError, EOFError) as error:
            if together.began and trainer.world_size > 1 and _from_another_process(error):
                raise RunError(
                    f"another process of this training has ended ({one_line(error)}); see what it said, and give the "
                    "same command again to go on"
                ) from None
            if together.began or not found:
                raise
            raise RunError(
                f"{found}: cannot be resumed ({one_line(error)}); give the command again with --no-resume"
            ) from None
    if trainer.interrupted:
        raise _interrupted(checkpoint, trainer)
    return model.cpu().eval()


def _interrupted(checkpoint: Path, trainer: pl.Trainer) -> KeyboardInterrupt:
    """The end that was asked for, and where the same command goes on."""
    if not checkpoint.is_file():
        return KeyboardInterrupt("at its beginning, since no checkpoint was written yet")
    state = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    return KeyboardInterrupt(f"step {state['global_step']}, epoch {state['epoch'] + 1} of {trainer.max_epochs}")


def _from_another_process(error: Exception) -> bool:
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in str(error)  # which raises RuntimeError
