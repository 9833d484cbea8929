"""Attention weighted by its gradient, accumulated through the blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.explain.base import Attribution, check_block
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace


class GenericAttribution(Attribution):
    """Generic attention explainability: R = I, then per block R <- R + mean over heads of (gradient o attention)+ R.

    Holds the attention of all blocks and its gradients, so that memory limits how many images fit in a call.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        start: first block that counts; negative counts from the end.

    Raises:
        InputError: when the model has no such block.

    Source: Chefer, Gur and Wolf, "Generic Attention-model Explainability", ICCV 2021, equations 5 and 6.
    """

    name = "generic_attribution"
    signed = False
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2103.15679"
    upsampling = "bilinear"

    def __init__(self, model: nn.Module, start: int = 0) -> None:
        super().__init__(model)
        check_block(model, start)
        self.start = start

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, self.start, gradients=True)
        with torch.enable_grad():
            explained = targets.scores(traced.readout)
        maps = []
        for gradients in traced.attention_gradients(explained):
            row = traced.reader()  # of the product, only the reading row is made, from its left end
            for block, gradient in zip(reversed(traced.blocks), reversed(gradients), strict=True):
                row = row + row @ gradient.mul_(block.attention.detach()).relu_().mean(dim=1)
            maps.append(traced.to_map(row[:, 0]))
        return torch.stack(maps)
