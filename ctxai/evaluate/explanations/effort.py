"""How thoroughly explanations are evaluated; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How thoroughly explanations are evaluated.

    Args:
        steps: parts of a curve of removed pixels.
        boxes: squares of the box sensitivity.
        draws: noisy copies of an image, and randomised models.
        again: nodules for metrics that explain changed images again.
        everything: all metrics for all targets; otherwise the targets after the first get fidelity, and what needs no
            pass of the model.
    """

    steps: int = 10
    boxes: int = 40
    draws: int = 2
    again: int = 16
    everything: bool = False


FULL = Effort(steps=40, boxes=100, draws=5, again=10**9, everything=True)
"""As published, for a GPU."""
