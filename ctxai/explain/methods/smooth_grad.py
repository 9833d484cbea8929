"""Gradients averaged over noisy images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.pixels import PixelAttribution, Scores, check_count, input_gradients


class SmoothGrad(PixelAttribution):
    """SmoothGrad: the mean gradient over images with Gaussian noise, mean over channels, signed.

    The noise has the standard deviation ``noise_level`` times the range of an image's values. (captum's noise tunnel
    takes one standard deviation for a whole batch.) Every image of a batch sees the same standard normal draws.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        n_samples: number of draws; each costs a forward and a backward pass.
        noise_level: standard deviation of the noise, relative to the image's range.
        seed: of the draws.

    Raises:
        InputError: for options outside their range.

    Source: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.
    """

    name = "smooth_grad"
    signed = True
    class_specific = True
    needs = frozenset({"gradients"})
    reference = "arXiv:1706.03825"

    def __init__(self, model: nn.Module, n_samples: int = 50, noise_level: float = 0.15, seed: int = 0) -> None:
        super().__init__(model)
        check_count("n_samples", n_samples)
        if not 0 <= noise_level < float("inf"):
            raise InputError(f"expected a noise level of 0 or more, found {noise_level}")
        self.n_samples, self.noise_level, self.seed = n_samples, noise_level, seed

    def _pixel_maps(self, scores: Scores, images: Tensor, count: int) -> Tensor:
        span = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
        generator = torch.Generator().manual_seed(self.seed)
        total = images.new_zeros(count, *images.shape)
        for _ in range(self.n_samples):
            noise = torch.randn(images.shape[1:], generator=generator).to(images)
            total += input_gradients(scores, images + self.noise_level * span * noise)
        return total.mean(dim=2) / self.n_samples
