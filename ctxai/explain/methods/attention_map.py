"""The last block's attention as it is."""

from __future__ import annotations

from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.base import Attribution, check_block
from ctxai.explain.network import Network, find_vit
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace


class AttentionMap(Attribution):
    """Attention of the class token to every patch in a block, the same for every target.

    In a model with a pooled read-out, the mean over the patches' queries.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        head: one head; negative counts from the end. None takes the mean over heads.
        block: which block; negative counts from the end.

    Raises:
        InputError: for a head or block that the model has not.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021.
    """

    name = "attention_map"
    signed = False
    class_specific = False
    needs = frozenset({"attention"})
    reference = "arXiv:2104.14294"

    def __init__(self, model: nn.Module, head: int | None = None, block: int = -1) -> None:
        super().__init__(model)
        check_block(self.model, block)
        self.head, self.block = head, block
        heads = next(iter(find_vit(self.model).blocks)).attn.num_heads
        if head is not None and not -heads <= head < heads:
            raise InputError(f"expected a head from {-heads} to {heads - 1}, found {head}; the model has {heads} heads")

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, first=self.block)
        targets.fix(traced.readout.outputs)
        queries = traced.queries_read
        by_head = traced.blocks[0].weights(queries)
        attention = by_head.mean(dim=1) if self.head is None else by_head[:, self.head]
        return traced.to_map(traced.reader()[..., :queries] @ attention).transpose(0, 1)
