"""The last block's attention as it is."""

from __future__ import annotations

from torch import Tensor

from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace


class AttentionMap(Attribution):
    """Attention of the class token to every patch in the last block, mean over heads; the same for every target.

    In a model with a pooled read-out, the mean over the patches' queries.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021.
    """

    name = "attention_map"
    signed = False
    class_specific = False
    needs = frozenset({"attention"})
    reference = "arXiv:2104.14294"

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, first=-1)
        targets.fix(traced.readout.outputs)
        queries = traced.queries_read
        attention = traced.blocks[-1].weights(queries).mean(dim=1)
        return traced.to_map(traced.reader()[..., :queries] @ attention).transpose(0, 1)
