"""Settings of how a training is computed: a plain dataclass, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
