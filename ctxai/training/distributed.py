"""The processes that share a training: who started them, and how they stay together."""

from __future__ import annotations

import logging
import os
import signal
import threading
from importlib.util import find_spec
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from ctxai.errors import InputError, RunError
from ctxai.models.classifier import gather
from ctxai.suggestions import did_you_mean
from ctxai.training.settings import ComputeConfig, Execution

logger = logging.getLogger(__name__)


def check_execution(execution: Execution, compute: ComputeConfig = ComputeConfig()) -> None:
    """Refuse hardware that is not here, and what it cannot do, before anything is read or written.

    Raises:
        InputError: for an unknown or absent accelerator, more GPUs than there are, numbers below 1, half precision on a
            CPU, and a logger that is not installed.
    """
    accelerator, devices = execution.accelerator, execution.devices
    known = ["auto", "gpu", *AcceleratorRegistry.available_accelerators()]
    if accelerator not in known:
        meant = did_you_mean(accelerator, known)
        raise InputError(f"--accelerator {accelerator}: expected one of {', '.join(sorted(known))}{meant}")
    for name, number in (("devices", devices), ("num-nodes", execution.num_nodes)):
        if number < 1:
            raise InputError(f"--{name} {number}: expected a whole number from 1")
    kinds = {name: AcceleratorRegistry[name]["accelerator"] for name in AcceleratorRegistry.available_accelerators()}
    names = {"auto": ["cuda", "mps", "cpu"], "gpu": ["cuda", "mps"]}.get(accelerator, [accelerator])
    chosen = next((name for name in names if kinds[name].is_available()), None)
    if chosen is None:
        raise InputError(f"--accelerator {accelerator}: this machine has none that PyTorch can use; give cpu or auto")
    if chosen != "cpu" and devices > (found := kinds[chosen].auto_device_count()):
        raise InputError(f"--devices {devices}: this machine has {found} of the accelerator {chosen}; give fewer")
    if chosen == "cpu" and compute.precision == "fp16":
        raise InputError("--compute.precision fp16: needs a GPU; expected fp32 or bf16 here")
    package = execution.logger
    if package not in {"csv", "none"} and not find_spec(package):
        raise InputError(f"--logger {package}: the package is not installed; `pip install {package}`, or --logger csv")


def process_environment(execution: Execution) -> ClusterEnvironment:
    """Source of this process's rank for Lightning: SLURM's ``srun``, ``torchrun``, or Lightning itself.

    A process that SLURM runs alone (a batch script, a job of one task) starts the others as it would without SLURM.
    Lightning does not put jobs back into SLURM's queue: it would leave a checkpoint of its own in the working folder.

    Raises:
        InputError: when there are more or fewer processes than ``devices`` times ``num_nodes``, or nothing has started
            those of the other machines.
    """
    devices, num_nodes = execution.devices, execution.num_nodes
    if TorchElasticEnvironment.detect():
        starter, found = "torchrun", int(os.environ["WORLD_SIZE"])
    else:
        starter, found = "srun", int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if found == 1 and num_nodes == 1:
        return LightningEnvironment()
    if found == 1:
        raise InputError(f"num_nodes is {num_nodes}, but nothing started processes there; use srun or torchrun")
    if found != devices * num_nodes:
        raise InputError(
            f"{starter} started {found} processes, expected devices × num_nodes = {devices} × {num_nodes}; "
            "give as many devices as there are processes on each machine"
        )
    if starter == "torchrun":
        return TorchElasticEnvironment()
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(devices))  # which srun knows only when it was asked for
    return SLURMEnvironment(auto_requeue=False)


def is_first_process() -> bool:
    """Whether this process writes the results of a training."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


class CoordinatedStop(Callback):
    """All processes begin at the same step, and end after the same one as soon as any of them gets SIGTERM.

    Batch systems send SIGTERM before they kill. Lightning's own answer to it talks to the other processes from within
    the signal, in the middle of what they exchange at that moment, and they wait for each other for ever.

    Attributes:
        began: whether training has begun, with everything loaded that it goes on from.
        ends: whether all processes end before their next batch.
    """

    def __init__(self) -> None:
        self.began = self.ends = self._asked = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare where the processes begin; listen for SIGTERM until Lightning puts the former listeners back.

        Raises:
            RunError: when they begin at different steps.
        """
        steps = gather(pl_module, torch.tensor([trainer.global_step])).flatten().tolist()
        if len(set(steps)) > 1:
            raise RunError(
                f"the processes found checkpoints of the steps {', '.join(map(str, sorted(set(steps))))}; all machines "
                "have to see the same folder: give the command again when its file system has settled"
            )
        self.began, self._asked = True, trainer.received_sigterm
        if trainer.is_global_zero:
            logger.info("training begins at step %d, on %d processes", trainer.global_step, trainer.world_size)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Agree after every step."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.ends = trainer.strategy.reduce_boolean_decision(self._asked, all=False)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """End, once that was agreed; the checkpoint is written by then."""
        if self.ends:
            raise SIGTERMException
