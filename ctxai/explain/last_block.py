"""The CDAM score of every token, at the cost of the last block's class-token row.

With T the normalised tokens that enter the last attention layer, the score of token i for the number f is

    S_i = sum_j T_ij * df / dT_ij                                          (CDAM, arXiv 2312.02364)

In a model that reads out its first r tokens (the class token, r = 1), T_i reaches f only through the keys and values
that these r queries attend to. Write A_i for the attention of a query to token i, alpha_i = (W_v T_i) . df/dcontext and
s_i = scale * (q . W_k T_i) for the key's part without bias. Then, summed over heads and queries,

    S_i = A_i * alpha_i + A_i * (alpha_i - sum_j A_j alpha_j) * s_i

which is exact. Both W_v and W_k can be moved to the other side of their products (q . W_k T_i = (W_k' q) . T_i), so
that neither keys nor values are made at all, unless the keys are rotated or normalised. A pooled read-out needs the
whole block; there, with the raw projections y = W T + b of queries, keys, values and gate as leaves,
S_i = sum (y_i - b) * df/dy_i.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.explain.attention import (
    Projection,
    attention_residual,
    attention_scores,
    mlp_residual,
    project_context,
    projections,
    rotate,
    split_heads,
)
from ctxai.explain.network import Network, Readout, run_block
from ctxai.explain.targets import Targets
from ctxai.explain.timm_types import SelfAttention, TransformerBlock


class LastBlock:
    """The last block and the read-out of a network, for given images.

    Args:
        network: the model.
        images: (N, C, H, W).
        targets: what the scores explain; None among them is resolved on the unperturbed images.

    Attributes:
        stream: (N, n, d), the tokens that enter the last block.
        normed: (N, n, d), the same after the block's first norm: the tokens that CDAM scores.
    """

    def __init__(self, network: Network, images: Tensor, targets: Targets) -> None:
        self._network, self._images, self._targets = network, images, targets
        self._block: TransformerBlock = network.blocks[-1]
        self._rope: Tensor | None = None
        entering: list[Tensor] = []
        last = len(network.blocks) - 1

        def step(index: int, block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
            if index < last:
                return run_block(block, tokens, rope)
            self._rope = rope
            entering.append(tokens)
            return tokens  # the last block is run below, as far as it is read

        network.run(images, step)
        self.stream = entering[0]
        self.normed = self.norm(self.stream)
        self._rows = network.rows_read(self.stream, images, targets.needs_embedding)

    def norm(self, stream: Tensor) -> Tensor:
        """The block's first norm, (M, n, d) to (M, n, d)."""
        return self._block.norm1(stream)

    def fix_targets(self) -> None:
        """Resolve targets that depend on the outputs, before tokens are perturbed."""
        if self._rows == self.stream.shape[1]:
            stream = run_block(self._block, self.stream, self._rope)
            readout = self._network.read_out(self._network.vit.norm(stream), self._images)
        else:
            context, *_ = self._attend(self.normed)
            readout = self._finish(context, self.normed, self.stream)
        self._targets.fix(readout.outputs)

    def scores(self, normed: Tensor, stream: Tensor, draws: int = 1) -> Tensor:
        """CDAM scores of the patches for M = draws x N sets of tokens.

        Args:
            normed: T, (M, n, d).
            stream: the residual stream beside it, (M, n, d).
            draws: how many perturbed copies of the N images these are, copy by copy.

        Returns:
            (targets, M, rows of the grid, columns of the grid).
        """
        scores = self._all_rows if self._rows == normed.shape[1] else self._class_row
        maps = scores(normed, stream, draws)[:, :, self._network.prefix :]
        return self._network.tokens.spread(maps)

    def _attend(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Context (M, H, r, d_h), attention, its scores without the keys' bias (M, H, r, n), and raw keys if needed."""
        attn = self._block.attn
        query, key, value = projections(attn)
        queries = attn.q_norm(split_heads(attn, query(normed[:, : self._rows])))
        raw_keys = None
        if not isinstance(attn.k_norm, nn.Identity):
            raw_keys = key(normed)
            scores = linear = self._key_scores(queries, raw_keys)
        elif self._rope is not None:
            keys = rotate(attn, split_heads(attn, F.linear(normed, key.weight)), self._rope)
            scores = linear = attention_scores(attn, queries, keys)
            if key.bias is not None:
                bias = split_heads(attn, key.bias.expand(1, normed.shape[1], -1))
                scores = linear + attention_scores(attn, queries, rotate(attn, bias, self._rope))
        else:  # the bias shifts all scores of a query alike, and the softmax does not see it
            folded = _by_head(queries * attn.scale, _head_weights(attn, key.weight))
            scores = linear = (folded.flatten(1, 2) @ normed.transpose(1, 2)).unflatten(1, folded.shape[1:3])
        attention = scores.softmax(dim=-1)
        mixed = (attention.flatten(1, 2) @ normed).unflatten(1, attention.shape[1:3])
        context = _by_head(mixed, _head_weights(attn, value.weight).mT)
        if value.bias is not None:
            context = context + value.bias.unflatten(0, (attn.num_heads, 1, -1))
        return context, attention, linear, raw_keys

    def _key_scores(self, queries: Tensor, raw_keys: Tensor) -> Tensor:
        attn = self._block.attn
        keys = rotate(attn, attn.k_norm(split_heads(attn, raw_keys)), self._rope)
        return attention_scores(attn, queries, keys)

    def _finish(self, context: Tensor, normed: Tensor, stream: Tensor) -> Readout:
        block, rows = self._block, self._rows
        attended = project_context(block.attn, context, normed[:, :rows])
        tokens = mlp_residual(block, attention_residual(block, stream[:, :rows], attended))
        return self._network.read_out(self._network.vit.norm(tokens), self._images)

    def _class_row(self, normed: Tensor, stream: Tensor, draws: int) -> Tensor:
        attn = self._block.attn
        _, key, value = projections(attn)
        context, attention, linear, raw_keys = self._attend(normed)
        with torch.enable_grad():
            context.requires_grad_()
            explained = self._targets.scores(self._finish(context, normed, stream), draws)
        gradient = gradients_per_target(explained, context)
        folded = _by_head(gradient, _head_weights(attn, value.weight))
        alpha = folded.movedim(0, 1).flatten(1, 3) @ normed.transpose(1, 2)  # (M, T * H * r, n)
        alpha = alpha.unflatten(1, (len(gradient), *attention.shape[1:3])).movedim(1, 0)
        by_value = attention * alpha
        by_score = by_value - attention * by_value.sum(dim=-1, keepdim=True)  # df / dscores
        if raw_keys is None:
            return (by_value + by_score * linear).sum(dim=(2, 3))
        with torch.enable_grad():
            raw_keys = raw_keys.detach().requires_grad_()
            queries = attn.q_norm(split_heads(attn, projections(attn).query(normed[:, : self._rows])))
            scores = self._key_scores(queries, raw_keys)
        by_key = torch.stack([torch.autograd.grad(scores, raw_keys, one, retain_graph=True)[0] for one in by_score])
        unbiased = raw_keys.detach() if key.bias is None else raw_keys.detach() - key.bias
        return by_value.sum(dim=(2, 3)) + (by_key * unbiased).sum(dim=-1)

    def _all_rows(self, normed: Tensor, stream: Tensor, draws: int) -> Tensor:
        block, attn = self._block, self._block.attn
        layers: list[Projection | nn.Linear] = list(projections(attn))
        if attn.gate is not None:
            layers.append(attn.gate)
        raw = [layer(normed) for layer in layers]
        with torch.enable_grad():
            for leaf in raw:
                leaf.requires_grad_()
            queries = rotate(attn, attn.q_norm(split_heads(attn, raw[0])), self._rope)
            keys = rotate(attn, attn.k_norm(split_heads(attn, raw[1])), self._rope)
            values = split_heads(attn, raw[2])
            context = F.scaled_dot_product_attention(queries, keys, values, scale=attn.scale)
            merged = attn.norm(context.transpose(1, 2).flatten(2))
            if attn.gate is not None:
                merged = merged * raw[3].sigmoid()
            tokens = mlp_residual(block, attention_residual(block, stream, attn.proj(merged)))
            readout = self._network.read_out(self._network.vit.norm(tokens), self._images)
            explained = self._targets.scores(readout, draws)
        unbiased = [
            leaf.detach() if layer.bias is None else leaf.detach() - layer.bias
            for leaf, layer in zip(raw, layers, strict=True)
        ]
        maps = []
        for one in torch.eye(len(explained)).to(explained):
            by_leaf = torch.autograd.grad(explained, raw, one[:, None].expand_as(explained), retain_graph=True)
            maps.append(torch.stack([(y * g).sum(dim=-1) for y, g in zip(unbiased, by_leaf, strict=True)]).sum(dim=0))
        return torch.stack(maps)


def _head_weights(attn: SelfAttention, weight: Tensor) -> Tensor:
    """(H * d_h, d) to (H, d_h, d)."""
    return weight.unflatten(0, (attn.num_heads, -1))


def _by_head(values: Tensor, weights: Tensor) -> Tensor:
    """(..., H, r, a) times (H, a, b), without a copy of the weights for every leading index."""
    return torch.einsum("...hra,hab->...hrb", values, weights)


def gradients_per_target(explained: Tensor, leaf: Tensor) -> Tensor:
    """Gradients of (T, M) numbers, where column m depends on row m of ``leaf`` (M, ...) alone: (T, M, ...)."""
    count = len(explained)
    if count == 1:
        with torch.enable_grad():
            return torch.autograd.grad(explained.sum(), leaf)[0][None]
    ones = torch.eye(count, dtype=explained.dtype, device=explained.device)
    ones = ones[:, :, None].expand(-1, -1, explained.shape[1])
    return torch.autograd.grad(explained, leaf, ones, is_grads_batched=True)[0]
