"""Layer-wise relevance propagation through a transformer, as a backward pass with other rules.

Every layer of the forward pass is a function whose "gradient" is its relevance rule, so that one call of
``torch.autograd.grad`` hands relevance from an output back to every attention matrix. All sums are per image.

The rules (Chefer, Gur and Wolf, "Transformer Interpretability Beyond Attention Visualization", CVPR 2021, and its
published code), with R what a layer's output received:

- linear: x+ (w+)' S + x- (w-)' S with S = R / (x+ w+ + x- w-); the older rule divides by the two terms apart;
- matrix product a b: a o (S b') / 2 and b o (a' S) / 2, with S = R / (a b);
- residual sum: a S and b S with S = R / (a + b), then both rescaled to shares |sum a S| : |sum b S| of the whole; the
  older rule does not rescale;
- norms, activations, softmax, dropout, layer scale and rotary positions: R goes through unchanged;
- a mean over tokens hands R out evenly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from timm.layers import LayerScale, Mlp
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from ctxai.errors import ModelError
from ctxai.explain.attention import projections, rotate, scale_branch, split_heads
from ctxai.explain.network import Network, Readout, replaced, run_block
from ctxai.explain.timm_types import TransformerBlock

_STABILISER = 1e-9
_UNCHANGED = (nn.LayerNorm, nn.RMSNorm, nn.Dropout, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, LayerScale)


def safe_divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient with the published code's stabiliser: 1e-9 is added to the denominator; 0 where the denominator is 0."""
    moved = denominator + _STABILISER
    return torch.where(denominator == 0, 0, numerator / torch.where(moved == 0, _STABILISER, moved))


class _Linear(Function):
    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, joint: bool) -> Tensor:
        context.save_for_backward(inputs, weight)
        context.joint = joint
        return F.linear(inputs, weight, bias)

    @staticmethod
    def backward(context: Any, relevance: Tensor) -> tuple[Tensor, None, None, None]:
        inputs, weight = context.saved_tensors
        parts = [(inputs.clamp(min=0), weight.clamp(min=0)), (inputs.clamp(max=0), weight.clamp(max=0))]
        sums = [F.linear(x, w) for x, w in parts]
        if context.joint:
            sums = [sums[0] + sums[1]] * 2
        shares = [x * (safe_divide(relevance, total) @ w) for (x, w), total in zip(parts, sums, strict=True)]
        return shares[0] + shares[1], None, None, None


class _Product(Function):
    @staticmethod
    def forward(context: Any, left: Tensor, right: Tensor) -> Tensor:
        context.save_for_backward(left, right)
        return left @ right

    @staticmethod
    def backward(context: Any, relevance: Tensor) -> tuple[Tensor, Tensor]:
        left, right = context.saved_tensors
        share = safe_divide(relevance, left @ right)
        return left * (share @ right.mT) / 2, right * (left.mT @ share) / 2


class _Sum(Function):
    @staticmethod
    def forward(context: Any, left: Tensor, right: Tensor, rescale: bool) -> Tensor:
        context.save_for_backward(left, right)
        context.rescale = rescale
        return left + right

    @staticmethod
    def backward(context: Any, relevance: Tensor) -> tuple[Tensor, Tensor, None]:
        terms = context.saved_tensors
        share = safe_divide(relevance, terms[0] + terms[1])
        shares = [term * share for term in terms]
        if context.rescale:
            totals = [one.sum(dim=(1, 2), keepdim=True) for one in shares]
            whole = relevance.sum(dim=(1, 2), keepdim=True)
            sizes = totals[0].abs() + totals[1].abs()
            shares = [
                one * safe_divide(safe_divide(total.abs(), sizes) * whole, total)
                for one, total in zip(shares, totals, strict=True)
            ]
        return shares[0], shares[1], None


class _Through(Function):
    """The second argument's value, with the first one's relevance."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, outputs: Tensor) -> Tensor:
        return outputs.view_as(outputs)

    @staticmethod
    def backward(context: Any, relevance: Tensor) -> tuple[Tensor, None]:
        return relevance, None


def _unchanged(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return _Through.apply(inputs, function(inputs.detach()))


class Relevance:
    """A forward pass whose backward pass propagates relevance.

    Args:
        network: the model.
        images: (N, C, H, W).
        first: the first block that relevance is wanted for; negative counts from the end.
        older_rules: the rules of plain LRP, as marked in the module's text.

    Raises:
        ModelError: for blocks or heads with layers that have no rule.
    """

    def __init__(self, network: Network, images: Tensor, first: int = 0, older_rules: bool = False) -> None:
        self._newer = not older_rules
        self._first = range(len(network.blocks))[first]
        self._attention: list[Tensor] = []
        with torch.enable_grad(), contextlib.ExitStack() as stack:
            for module in _leaves_outside_blocks(network):
                stack.enter_context(replaced(module, "forward", self._rule_of(module)))
            self.readout: Readout = network.run(images, self._step)

    def of_attention(self, indices: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """For each row of ``indices`` (T, N), the relevance of every traced block's attention, (N, H, n, n) each."""
        outputs = self.readout.outputs
        for position, index in enumerate(indices):
            start = F.one_hot(index, outputs.shape[1]).to(outputs)
            more = position < len(indices) - 1
            yield torch.autograd.grad(outputs, self._attention, start, retain_graph=more)

    def _linear(self, layer: Any, inputs: Tensor) -> Tensor:
        return _Linear.apply(inputs, layer.weight, layer.bias, self._newer)

    def _rule_of(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        if type(module) is nn.Linear:
            weight, bias, joint = module.weight, module.bias, self._newer
            return lambda inputs: _Linear.apply(inputs, weight, bias, joint)
        twin = object.__new__(type(module))  # runs the module's own code without being the replaced object
        twin.__dict__.update(module.__dict__)
        return lambda inputs: _unchanged(twin, inputs)

    def _step(self, index: int, block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
        if index < self._first:
            with torch.no_grad():
                return run_block(block, tokens, rope)
        if index == self._first:
            tokens = tokens.detach().requires_grad_()
        attended = self._attend(block, _unchanged(block.norm1, tokens), rope)
        middle = _Sum.apply(tokens, _scaled(block, 1, attended), self._newer)
        return _Sum.apply(middle, _scaled(block, 2, self._mlp(block, middle)), self._newer)

    def _attend(self, block: TransformerBlock, normed: Tensor, rope: Tensor | None) -> Tensor:
        attn = block.attn
        query, key, value = (split_heads(attn, self._linear(layer, normed)) for layer in projections(attn))
        query = _unchanged(lambda raw: rotate(attn, attn.q_norm(raw), rope), query)
        key = _unchanged(lambda raw: rotate(attn, attn.k_norm(raw), rope), key)
        scores = _Product.apply(query, key.mT)
        attention = _unchanged(lambda raw: (raw * attn.scale).softmax(dim=-1), scores)
        self._attention.append(attention)
        merged = _Product.apply(attention, value).transpose(1, 2).flatten(2)
        merged = _unchanged(attn.norm, merged)
        if attn.gate is not None:
            gate = attn.gate(normed.detach()).sigmoid()
            merged = _unchanged(lambda raw: raw * gate, merged)
        return self._linear(attn.proj, merged)

    def _mlp(self, block: TransformerBlock, middle: Tensor) -> Tensor:
        mlp = block.mlp
        if type(mlp) is not Mlp:
            raise ModelError(f"expected a plain MLP, found {type(mlp).__name__}; relevance has no rule for it")
        hidden = self._linear(mlp.fc1, _unchanged(block.norm2, middle))
        return self._linear(mlp.fc2, _unchanged(lambda raw: mlp.norm(mlp.act(raw)), hidden))


def _scaled(block: TransformerBlock, branch: int, values: Tensor) -> Tensor:
    return _unchanged(lambda raw: scale_branch(block, branch, raw), values)


def _leaves_outside_blocks(network: Network) -> Sequence[nn.Module]:
    """Modules after the blocks that need a rule."""
    upstream = {id(module) for module in network.vit.patch_embed.modules()}
    inside = upstream | {id(module) for block in network.blocks for module in block.modules()}
    leaves = []
    for module in network.modules():
        if id(module) in inside or any(True for _ in module.children()):
            continue
        if isinstance(module, (nn.Linear, *_UNCHANGED)):
            leaves.append(module)
        elif any(True for _ in module.parameters(recurse=False)) and not _is_upstream(network, module):
            raise ModelError(f"expected linear layers and activations as a head, found {type(module).__name__}")
    return leaves


def _is_upstream(network: Network, module: nn.Module) -> bool:
    rope = getattr(network.vit, "rope", None)
    return module is network.vit or (rope is not None and any(module is part for part in rope.modules()))
