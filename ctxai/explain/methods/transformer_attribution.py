"""Relevance of attention weighted by its gradient, accumulated through the blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.explain.base import Attribution, check_block
from ctxai.explain.network import Network
from ctxai.explain.relevance import Relevance
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace


class TransformerAttribution(Attribution):
    """Transformer attribution: the product over blocks of I + mean over heads of (gradient o relevance of attention)+.

    Runs in batches. Relevance starts at an output, so that targets must be outputs: no concept, no callable.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`; a head of linear layers and activations.
        start: first block of the product; negative counts from the end. (The authors' evaluations use 1.)

    Raises:
        InputError: when the model has no such block, or a target is no output.

    Source: Chefer, Gur and Wolf, "Transformer Interpretability Beyond Attention Visualization", CVPR 2021.
    """

    name = "transformer_attribution"
    signed = False
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2012.09838"
    upsampling = "bilinear"
    dtype = torch.float64  # quotients of relevance by small sums lose all digits of float32 within some blocks

    def __init__(self, model: nn.Module, start: int = 0) -> None:
        super().__init__(model)
        check_block(model, start)
        self.start = start

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, self.start, gradients=True)
        indices = targets.indices(traced.readout.outputs)
        with torch.enable_grad():
            explained = targets.scores(traced.readout)
        relevance = Relevance(network, images, self.start)
        maps = []
        for gradients, shares in zip(
            traced.attention_gradients(explained), relevance.of_attention(indices), strict=True
        ):
            row = traced.reader()  # of the product, only the reading row is made, from its left end
            for gradient, share in zip(reversed(gradients), reversed(shares), strict=True):
                row = row + row @ gradient.mul_(share).relu_().mean(dim=1)
            maps.append(traced.to_map(row[:, 0]))
        return torch.stack(maps)
