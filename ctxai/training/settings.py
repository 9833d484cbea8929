"""Settings of how a training is computed: plain dataclasses, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LoggerName = Literal["csv", "tensorboard", "wandb", "none"]

#: The folder that a training's logger writes to, and that its run keeps.
LOGS = "logs"
#: The flag of Lightning's Trainer that the loader itself follows, so that a resumed epoch goes on in its place.
LIMIT = "limit_train_batches"


@dataclass(frozen=True)
class ComputeConfig:
    """How training is computed; what is learnt stays the same but for rounding and the order of dropout.

    Args:
        precision: of the products while training; bf16 and fp16 keep the weights themselves in single precision.
        compile: run the backbone through torch.compile, which pays on a GPU and needs a C++ compiler on a CPU.
        accumulate: parts that a step's images are cut into, for less memory. The loss is the mean of the parts'.
        channels_last: the layout of images in memory in which convolutions of a stem are faster.
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    accumulate: int = 1
    channels_last: bool = False


@dataclass(frozen=True)
class Execution:
    """Hardware and processes of a training, and its treatment of existing files.

    Args:
        workers: processes that render images; 0 renders in the training process.
        accelerator: Lightning's name of the hardware, such as cpu or gpu.
        devices: how many of them; under SLURM and torchrun, on each machine. A step's images are shared out.
        num_nodes: machines, started by SLURM or torchrun.
        resume: go on from the last checkpoint, and keep what is finished.
        logger: Lightning's logger of losses and learning rate, kept in the folder logs; wandb sends nothing by itself.
        overwrite: replace, at the end, a finished training of other options or of another store; it is refused
            otherwise.
    """

    workers: int = 0
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    resume: bool = True
    overwrite: bool = False
    logger: LoggerName = "csv"
