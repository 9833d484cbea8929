"""Attention-guided CAM: sigmoid attention scores weighted by essential gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ctxai.explain.attention import attention_residual, mlp_residual, project_context
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.trace import trace


class AGCAM(Attribution):
    """AGCAM: sum over blocks and heads of ReLU(dy / dA) o sigmoid(S), for the class token's query.

    S are the attention scores before the softmax and A the attention after it. The gradient takes the essential path
    only: what enters an attention layer counts as constant, so that a block is reached through residual connections and
    MLPs but not through later attention. In a model that reads out the class token, that path holds no other token, and
    the graph is one token wide. A pooled read-out takes the patches' queries and their mean.

    Source: Leem and Seo, "Attention Guided CAM", AAAI 2024.
    """

    name = "agcam"
    signed = False
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2402.04563"
    upsampling = "bilinear"

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        traced = trace(network, images)
        rows = traced.rows
        attention = [block.weights(rows).requires_grad_() for block in traced.blocks]
        with torch.enable_grad():
            stream = traced.blocks[0].tokens[:, :rows]
            for traced_block, weights in zip(traced.blocks, attention, strict=True):
                block = traced_block.block
                context = weights @ traced_block.values
                attended = project_context(block.attn, context, traced_block.normed[:, :rows])
                stream = mlp_residual(block, attention_residual(block, stream, attended))
            readout = network.read_out(network.vit.norm(stream), images)
            explained = targets.scores(readout)
        reader = traced.reader()[:, None, :, :rows]
        gates = [block.scores(rows).sigmoid() for block in traced.blocks]
        maps = []
        for gradients in traced.gradients(explained, attention):
            per_block = [
                (reader @ (gradient.relu() * gate)).sum(dim=1) for gradient, gate in zip(gradients, gates, strict=True)
            ]
            maps.append(traced.to_map(torch.stack(per_block).sum(dim=0)[:, 0]))
        return torch.stack(maps)
