"""Gradients integrated from a blank image to the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.explain.pixels import PixelAttribution, Scores, check_count, score_of

_STEPS_AT_ONCE = 8


class IntegratedGradients(PixelAttribution):
    """Integrated gradients from an image of zeros (the mean, in normalised images), mean over channels, signed.

    The gradients are taken at k / steps of the way, k = 1 .. steps.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        steps: parts of the path; each costs a forward and a backward pass per target.

    Raises:
        InputError: for a number of steps below 1.

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017; captum's implementation.
    """

    name = "integrated_gradients"
    signed = True
    class_specific = True
    needs = frozenset({"gradients"})
    reference = "arXiv:1703.01365"
    complete = True

    def __init__(self, model: nn.Module, steps: int = 50) -> None:
        super().__init__(model)
        check_count("steps", steps)
        self.steps = steps

    def _pixel_maps(self, scores: Scores, images: Tensor, count: int) -> Tensor:
        import captum.attr

        options = {
            "baselines": 0,
            "n_steps": self.steps,
            "method": "riemann_right",
            "internal_batch_size": _STEPS_AT_ONCE * len(images),
        }
        explainers = [captum.attr.IntegratedGradients(score_of(scores, position)) for position in range(count)]
        return torch.stack([explainer.attribute(images, **options).mean(dim=1) for explainer in explainers])
