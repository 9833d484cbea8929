"""Base class and helpers of methods that differentiate or change pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets

Scores = Callable[[Tensor], Tensor]
"""A function from images (draws * N, C, H, W), draw by draw, to the explained numbers (T, draws * N)."""


class PixelAttribution(Attribution):
    """A method that sees the model as a function of pixels; its maps have the images' size."""

    resolution = "pixel"
    upsampling = "bilinear"

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        targets.fix(network.run(images).outputs)

        def scores(batch: Tensor) -> Tensor:
            return targets.scores(network.run(batch), len(batch) // len(images))

        return self._pixel_maps(scores, images, len(targets))

    @abstractmethod
    def _pixel_maps(self, scores: Scores, images: Tensor, count: int) -> Tensor:
        """Explain what ``scores`` gives for ``images`` (N, C, H, W): maps (count, N, H, W)."""


def score_of(scores: Scores, position: int) -> Callable[[Tensor], Tensor]:
    """The number at ``position`` among the explained ones."""
    return lambda batch: scores(batch)[position]


class Replay:
    """Scores for methods that ask for the same images in the same order, once for each target.

    The images are run for the first target; the others read the numbers that were kept.
    """

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._seen: list[Tensor] = []

    def score_of(self, position: int) -> Callable[[Tensor], Tensor]:
        """The number at ``position``; the returned function must be called from the first image on."""
        call = 0

        def score(batch: Tensor) -> Tensor:
            nonlocal call
            if call == len(self._seen):
                self._seen.append(self._scores(batch))
            call += 1
            return self._seen[call - 1][position]

        return score


def input_gradients(scores: Scores, images: Tensor) -> Tensor:
    """Gradients of the explained numbers with respect to ``images`` (N, C, H, W): (T, N, C, H, W)."""
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        sums = [of_target.sum() for of_target in scores(leaf)]
    return torch.stack([torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in sums])


def check_count(name: str, count: int) -> None:
    """Refuse a number of samples or steps below 1.

    Raises:
        InputError: naming the option.
    """
    if count < 1:
        raise InputError(f"expected {name} of at least 1, found {count}")
