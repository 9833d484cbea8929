"""Pixels times their gradients."""

from __future__ import annotations

from torch import Tensor

from ctxai.explain.pixels import PixelAttribution, Scores, input_gradients


class InputXGradient(PixelAttribution):
    """Input x gradient, mean over channels, signed.

    captum's method of this name runs the model again for every target; here all targets share one forward pass.

    Source: Shrikumar et al., "Not Just a Black Box", 2016.
    """

    name = "input_x_gradient"
    signed = True
    class_specific = True
    needs = frozenset({"gradients"})
    reference = "arXiv:1605.01713"
    complete = True

    def _pixel_maps(self, scores: Scores, images: Tensor, count: int) -> Tensor:
        return (images * input_gradients(scores, images)).mean(dim=2)
