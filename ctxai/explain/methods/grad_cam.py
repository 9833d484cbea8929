"""Grad-CAM on a transformer's last attention layer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.trace import Trace, trace


class GradCAM(Attribution):
    """Grad-CAM in one of two conventions, cut off at 0.

    "token": the tokens after the last block's first norm are the feature maps; each channel is weighted by the mean of
    its gradient over the patches. "attention": the last block's attention of the class token is the feature map of a
    head; each head is weighted by the mean of its gradient over the patches. (Deeper tokens have no gradient on patches
    in a model that reads out the class token.)

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        form: the convention.

    Raises:
        InputError: for another form.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017; attention form: Chefer, Gur and Wolf, CVPR 2021.
    """

    name = "grad_cam"
    signed = False
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:1610.02391"
    upsampling = "bilinear"

    def __init__(self, model: nn.Module, form: Literal["token", "attention"] = "token") -> None:
        super().__init__(model)
        if form not in ("token", "attention"):
            raise InputError(f"expected form 'token' or 'attention', found {form!r}")
        self.form = form

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, first=-1, gradients=True)
        with torch.enable_grad():
            explained = targets.scores(traced.readout)
        read = _by_channel if self.form == "token" else _by_head
        leaf = traced.blocks[-1].normed if self.form == "token" else traced.blocks[-1].attention
        return torch.stack([read(traced, leaf.detach(), one) for (one,) in traced.gradients(explained, [leaf])])


def _by_channel(traced: Trace, tokens: Tensor, gradient: Tensor) -> Tensor:
    weights = gradient[:, traced.prefix :].mean(dim=1, keepdim=True)
    return traced.to_map((weights * tokens).sum(dim=-1).relu())


def _by_head(traced: Trace, attention: Tensor, gradient: Tensor) -> Tensor:
    reader = traced.reader()[:, None]
    attention, gradient = reader @ attention, reader @ gradient  # (N, H, 1, n)
    weights = gradient[..., traced.prefix :].mean(dim=-1, keepdim=True)
    return traced.to_map((weights * attention).mean(dim=1)[:, 0].relu())
