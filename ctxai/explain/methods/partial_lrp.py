"""Relevance of the last block's attention."""

from __future__ import annotations

import torch
from torch import Tensor

from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.relevance import Relevance
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace


class PartialLRP(Attribution):
    """Partial LRP: the positive relevance of the class token's attention in the last block, mean over heads.

    Relevance starts at an output, so that targets must be outputs: no concept, no callable.

    Raises:
        InputError: when a target is no output.

    Source: Voita et al., "Analyzing Multi-Head Self-Attention", ACL 2019, in the form of Chefer, Gur and Wolf, CVPR
    2021.
    """

    name = "partial_lrp"
    signed = False
    class_specific = True
    needs = frozenset({"attention"})
    reference = "arXiv:1905.09418"
    upsampling = "bilinear"
    dtype = torch.float64  # quotients of relevance by small sums lose all digits of float32 within some blocks

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, first=-1)
        indices = targets.indices(traced.readout.outputs)
        relevance = Relevance(network, images, first=-1, older_rules=True)
        reader = traced.reader()
        rows = [reader @ share.relu().mean(dim=1) for (share,) in relevance.of_attention(indices)]
        return traced.to_map(torch.stack(rows)[:, :, 0])
