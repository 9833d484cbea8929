"""Class-discriminative attention maps."""

from __future__ import annotations

from torch import Tensor

from ctxai.explain.base import Attribution
from ctxai.explain.last_block import LastBlock
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets


class CDAM(Attribution):
    """CDAM: the dot product of every token that enters the last attention layer with its gradient.

    Positive values are evidence for the target, negative values against it. Costs about one forward pass without
    gradients, whatever the number of targets; models with a pooled read-out run their whole last block once more.

    Source: Brocki, Binda and Chung, "Class-Discriminative Attention Maps for Vision Transformers", TMLR 2024.
    """

    name = "cdam"
    signed = True
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2312.02364"

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        last = LastBlock(network, images, targets)
        return last.scores(last.normed, last.stream)
