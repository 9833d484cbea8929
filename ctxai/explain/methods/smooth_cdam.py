"""CDAM averaged over noisy copies of the tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.last_block import LastBlock
from ctxai.explain.network import Network
from ctxai.explain.targets import Target, Targets
from ctxai.explain.uncertainty import MapWithStd, Moments

Variant = Literal["pre_norm", "post_norm"]

DRAWS_AT_ONCE = 4
"""Perturbed copies of a batch's tokens held at a time; about what one MLP layer of a forward pass holds."""


class SmoothCDAM(Attribution):
    """Smooth CDAM: the mean of the maps of ``n_samples`` copies of the tokens with Gaussian noise.

    The noise has the standard deviation ``noise_level`` times the range (maximum minus minimum) of an image's tokens.
    Every image of a batch sees the same standard normal draws, so that a map does not depend on its neighbours.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        variant: "pre_norm" adds noise to the tokens entering the last block, "post_norm" to those after its first
            norm, which leaves the residual stream as it is.
        n_samples: number of draws.
        noise_level: standard deviation of the noise, relative to the tokens' range.
        seed: of the draws.

    Raises:
        InputError: for options outside their range.

    Source: Brocki, Binda and Chung, TMLR 2024.
    """

    name = "smooth_cdam"
    signed = True
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2312.02364"

    def __init__(
        self,
        model: nn.Module,
        variant: Variant = "pre_norm",
        n_samples: int = 50,
        noise_level: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        check_options(variant, n_samples, noise_level)
        self.variant, self.n_samples, self.noise_level, self.seed = variant, n_samples, noise_level, seed

    def attribute_with_std(
        self, images: Tensor, target: Target = None, size: tuple[int, int] | None = None
    ) -> MapWithStd:
        """The map, and the standard deviation over the draws at every location, from the same pass.

        Arguments and errors are those of :meth:`~ctxai.explain.base.Attribution.attribute`. Draws are not kept, so
        that memory does not grow with their number.

        Returns:
            ``mean``, equal to :meth:`attribute`, and ``std`` of the same shape: the standard deviation of one draw,
            which does not shrink with more draws.
        """
        return MapWithStd(*self._explained(self._mean_and_std, images, target, size))

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        last = LastBlock(network, images, targets)
        return mean_over_copies(last, self.variant, [1.0] * self.n_samples, self.noise_level, self.seed)

    def _mean_and_std(self, network: Network, images: Tensor, targets: Targets) -> MapWithStd:
        last = LastBlock(network, images, targets)
        moments = Moments()
        for maps in _maps_of_copies(last, self.variant, [1.0] * self.n_samples, self.noise_level, self.seed):
            moments.add(maps.movedim(1, 0))
        return moments.result()


def check_options(variant: str, count: int, noise_level: float) -> None:
    """Refuse options that give no map.

    Raises:
        InputError: naming the option.
    """
    if variant not in ("pre_norm", "post_norm"):
        raise InputError(f"expected variant 'pre_norm' or 'post_norm', found {variant!r}")
    if count < 1:
        raise InputError(f"expected at least one copy of the tokens, found {count}")
    if not 0 <= noise_level < float("inf"):
        raise InputError(f"expected a noise level of 0 or more, found {noise_level}")


def mean_over_copies(last: LastBlock, variant: Variant, factors: list[float], noise_level: float, seed: int) -> Tensor:
    """Mean CDAM map, (T, N, h, w), over copies of the tokens: a factor times the tokens, plus noise."""
    parts = _maps_of_copies(last, variant, factors, noise_level, seed)
    total = next(parts).sum(dim=1)
    for maps in parts:
        total = total + maps.sum(dim=1)
    return total / len(factors)


def _maps_of_copies(
    last: LastBlock, variant: Variant, factors: list[float], noise_level: float, seed: int
) -> Iterator[Tensor]:
    """The copies' CDAM maps, (T, k, N, h, w) for the next k copies at a time."""
    last.fix_targets()
    tokens = last.stream if variant == "pre_norm" else last.normed
    low, high = tokens.amin(dim=(1, 2), keepdim=True), tokens.amax(dim=(1, 2), keepdim=True)
    sigma = noise_level * (high - low)
    noise = _draws(tokens.shape[1:], seed)
    for start in range(0, len(factors), DRAWS_AT_ONCE):
        part = factors[start : start + DRAWS_AT_ONCE]
        copies = tokens * tokens.new_tensor(part)[:, None, None, None]
        if noise_level > 0:
            copies += sigma * torch.stack([next(noise) for _ in part]).to(tokens)[:, None]
        copies = copies.flatten(0, 1)
        if variant == "pre_norm":
            maps = last.scores(last.norm(copies), copies, len(part))
        else:
            maps = last.scores(copies, last.stream.repeat(len(part), 1, 1), len(part))
        yield maps.unflatten(1, (len(part), -1))


def _draws(shape: torch.Size, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(shape, generator=generator)
