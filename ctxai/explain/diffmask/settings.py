"""Settings of the training of Vision DiffMask's gates: importable without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Groups: TypeAlias = Sequence[tuple[Literal["bernoulli", "categorical", "squared"], Sequence[int]]]
"""Divergences, each with the indices of the outputs that it is of: of a sigmoid, of a softmax, or squared errors."""


@dataclass(frozen=True)
class DiffMaskSettings:
    """Settings of the optimisation; the defaults are the published ones.

    Attributes:
        margin: how much the answer may change, in the divergence's unit.
        learning_rate: of the gates.
        placeholder_rate: learning rate of the placeholder.
        alpha_rate: learning rate of the multipliers.
        alpha: first value of the multipliers.
        alpha_maximum: their upper limit.
        warmup_steps: steps in which the rates of gates and placeholder rise to their values.
        scale, offset: of the gates' logits.
        divergence: between the answers: "categorical" (a softmax over all outputs), "bernoulli" (a sigmoid of each),
            "mixed" (a sigmoid of malignancy, squared errors of all others), or "auto": mixed for a model that names an
            output malignancy, bernoulli for a single output, else categorical; of a run, what suits each target's kind.
    """

    margin: float = 0.1
    learning_rate: float = 2e-5
    placeholder_rate: float = 1e-3
    alpha_rate: float = 0.3
    alpha: float = 20.0
    alpha_maximum: float = 200.0
    warmup_steps: int = 1200
    scale: float = 15.0
    offset: float = 8.0
    divergence: Literal["auto", "categorical", "bernoulli", "mixed"] = "auto"
