"""Token transformation matters: attention weighted by how tokens change in length and direction."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain.attention import project_context
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.trace import BlockTrace, trace

_EPSILON = 1e-8


class TokenTM(Attribution):
    """TokenTM: relevance accumulated through attention and MLP layers, weighted by each token's transformation.

    With E tokens before and E~ tokens after a transformation, W(E, E~) is diagonal,
    |E~_i| / |E_i| * softmax_i(cos(E_i, E~_i)). C_0 = diag(|E_i|) of the tokens entering the first block; per block
    C <- (I + W_mlp) (I + (A W_attn) o G) C, with A the attention and G = ReLU(dy / dA), means over heads. The map is
    the class token's row of the last C.

    Two readings of the transformation by attention exist: the tokens after attention and residual ("post_attn"), and
    the tokens through the value and output projections alone ("value_proj", every token attending to itself). The
    softmax over tokens makes W small where tokens are many; ``necc_scale="n"`` multiplies it by their number.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        transformed: what E~ is in an attention layer.
        necc_scale: factor of the softmax: a number, or "n" for the number of tokens.
        heads: "product_of_means", or "mean_of_products" for the mean over heads of (A W) o G.

    Raises:
        InputError: for an unknown option.

    Source: Wu, Duan, Kang, Tang and Yan, "Token Transformation Matters", CVPR 2024.
    """

    name = "tokentm"
    signed = False
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2403.14552"
    upsampling = "bilinear"

    def __init__(
        self,
        model: nn.Module,
        transformed: Literal["post_attn", "value_proj"] = "post_attn",
        necc_scale: float | Literal["n"] = 1,
        heads: Literal["product_of_means", "mean_of_products"] = "product_of_means",
    ) -> None:
        super().__init__(model)
        if transformed not in ("post_attn", "value_proj"):
            raise InputError(f"expected transformed 'post_attn' or 'value_proj', found {transformed!r}")
        if heads not in ("product_of_means", "mean_of_products"):
            raise InputError(f"expected heads 'product_of_means' or 'mean_of_products', found {heads!r}")
        if necc_scale != "n" and not (isinstance(necc_scale, int | float) and necc_scale > 0):
            raise InputError(f"expected a positive necc_scale or 'n', found {necc_scale!r}")
        self.transformed, self.necc_scale, self.heads = transformed, necc_scale, heads

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images, gradients=True)
        with torch.enable_grad():
            explained = targets.scores(traced.readout)
        by_attention = [self._weights(block.tokens, self._transformed(block)) for block in traced.blocks]
        by_mlp = [self._weights(block.middle, block.leaving) for block in traced.blocks]
        lengths = traced.blocks[0].tokens.detach().norm(dim=-1)[:, None]
        maps = []
        for gradients in traced.attention_gradients(explained):
            row = traced.reader()  # of the product, only the reading row is made, from its left end
            for index in reversed(range(len(gradients))):
                attention = traced.blocks[index].attention.detach()
                row = row * (1 + by_mlp[index])
                row = row + self._guided(row, attention, gradients[index].relu_()) * by_attention[index]
            maps.append(traced.to_map((row * lengths)[:, 0]))
        return torch.stack(maps)

    def _guided(self, row: Tensor, attention: Tensor, gradient: Tensor) -> Tensor:
        """``row`` (N, 1, n) times A o G, fused over heads."""
        if self.heads == "product_of_means":
            return row @ (attention.mean(dim=1) * gradient.mean(dim=1))
        return row @ (attention * gradient).mean(dim=1)

    def _transformed(self, block: BlockTrace) -> Tensor:
        if self.transformed == "post_attn":
            return block.middle
        return project_context(block.block.attn, block.values.detach(), block.normed.detach())

    def _weights(self, before: Tensor, after: Tensor) -> Tensor:
        """Transformation weights of every token, (N, 1, n)."""
        before, after = before.detach(), after.detach()
        ratio = after.norm(dim=-1) / (before.norm(dim=-1) + _EPSILON)
        correlation = F.cosine_similarity(before, after, dim=-1).softmax(dim=-1)
        scale = before.shape[1] if self.necc_scale == "n" else self.necc_scale
        return (ratio * correlation * scale)[:, None]
