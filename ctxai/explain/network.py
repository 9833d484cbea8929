"""A model seen as one vision transformer with something before and after it.

Explaining a model means running it with changed parts: other attention, hidden tokens replaced, evaluation mode,
gradients where the caller has none. All of that happens on a :class:`Network`, a second tree of module objects that
shares every parameter and buffer with the caller's model. The caller's modules are never touched, so there is nothing
to restore after an error, and two threads can explain one model.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models.eva import Eva, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ctxai.errors import InputError, ModelError
from ctxai.explain.huggingface import as_timm
from ctxai.explain.model_hints import call_hint, hint
from ctxai.explain.timm_types import Transformer, TransformerBlock
from ctxai.explain.token_grid import TokenGrid, covered_pixels

_PROBES = 4
"""Images at which the read-out is probed."""

BlockStep = Callable[[int, TransformerBlock, Tensor, Tensor | None], Tensor]
"""(index, block, tokens entering it (N, n, d), rotary positions or None) -> tokens leaving it."""


@dataclass(frozen=True)
class Readout:
    """Outputs of a model and the tokens that they are read from.

    Attributes:
        outputs: (N, K), the model's outputs.
        features: (N, r, d), the tokens after the final norm; all of them, or only those that are read out.
        vit: the transformer that they come from.
    """

    outputs: Tensor
    features: Tensor
    vit: Transformer

    def embedding(self) -> Tensor:
        """The vector that the classification layer receives, (N, d): the normalised class token, or the pooled one."""
        pooled = self.vit.forward_head(self.features, pre_logits=True)
        return pooled if pooled.ndim == 2 else self.features[:, 0]


def find_vit(model: nn.Module) -> Transformer:
    """Return the one transformer that ``model`` is or holds.

    Raises:
        ModelError: if there is none, more than one, or one whose blocks or read-out cannot be traced.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"expected a torch module to explain, found {type(model).__name__}; pass the model itself")
    found = [module for module in model.modules() if isinstance(module, VisionTransformer | Eva)]
    if len(found) != 1:
        raise ModelError(
            f"expected a model with exactly one timm VisionTransformer or Eva, found {len(found)} in "
            f"{type(model).__name__}; {hint(model)}"
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(f"expected weights, found {type(model).__name__} on the meta device; load its weights first")
    vit = cast(Transformer, found[0])
    if getattr(vit, "attn_pool", None) is not None:
        raise ModelError(
            f"expected a class-token or pooled read-out, found an attention-pooling head (global_pool="
            f"{vit.global_pool!r}); use a model with global_pool='token' or 'avg'"
        )
    for index, block in enumerate(vit.blocks):
        block = getattr(block, "_orig_mod", block)  # of a block that is compiled
        if type(block).forward not in (Block.forward, EvaBlock.forward):
            raise ModelError(
                f"expected pre-norm transformer blocks (timm Block or EvaBlock), found {type(block).__name__} at block "
                f"{index}; this architecture cannot be explained"
            )
    return vit


def run_block(block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
    """Run a block with its own code: (N, n, d) to (N, n, d)."""
    if rope is None:
        return type(block).forward(block, tokens)
    return type(block).forward(block, tokens, rope=rope)


class Network:
    """A parameter-sharing stand-in for ``model``, in evaluation mode, whose blocks and read-out can be replaced.

    Args:
        model: as :func:`find_vit`, or a HuggingFace model that :func:`~ctxai.explain.huggingface.as_timm` converts.
        dtype: floating-point type to compute in, by a copy of the weights; the model's own by default.

    Attributes:
        vit: the stand-in's transformer.
        blocks: its blocks, first to last.
        prefix: how many tokens come before the patches (class, registers, distillation).
        target_names: the model's names for its outputs, or an empty tuple.

    Raises:
        ModelError: as :func:`find_vit`.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None) -> None:
        model = as_timm(model)
        original = find_vit(model)
        replicas: dict[int, nn.Module] = {}
        self._model = _replicate(model, replicas, dtype)
        self.vit = cast(Transformer, replicas[id(original)])
        self.vit.grad_checkpointing = False
        self.blocks = list(self.vit.blocks)
        self.prefix: int = self.vit.num_prefix_tokens
        self.target_names: tuple[str, ...] = tuple(getattr(model, "target_names", None) or ())
        weight = next(value for value in self.vit.parameters() if value.is_floating_point())
        self.dtype, self.device = weight.dtype, weight.device
        self._tokens: TokenGrid | None = None

    def run(
        self,
        images: Tensor,
        step: BlockStep | None = None,
        embed: Callable[[Tensor], Tensor] | None = None,
        before_first: Callable[[Tensor, Tensor | None], object] | None = None,
    ) -> Readout:
        """Run the whole model on ``images`` (N, C, H, W), with ``step`` in place of every block.

        ``embed`` changes the patch embeddings (N, patches, d), before positions are added; ``before_first`` is given
        the tokens (N, n, d) that enter the first block, and the rotary positions, if any.

        Raises:
            InputError: when the model refuses the images' size or channels.
            ModelError: when the model does not run its transformer once on the whole batch, or its outputs are not
                one finite (N, K) tensor.
        """
        features: list[Tensor] = []
        embedded: list[tuple[TokenGrid, int]] = []
        vit = self.vit
        own_features = vit.forward_features  # of its class, or replaced on this object

        def forward_features(*args: Any, **kwargs: Any) -> Tensor:
            features.append(own_features(*args, **kwargs))
            return features[-1]

        def patch_embed(pixels: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            embedder = getattr(vit.patch_embed, "backbone", None) or getattr(vit.patch_embed, "proj", None)
            channels = _channels_of(embedder) or pixels.shape[1]
            if pixels.shape[1] != channels:
                raise InputError(
                    f"expected images with {channels} channels, found {pixels.shape[1]}; repeat or drop channels"
                )
            patches = type(vit.patch_embed).forward(vit.patch_embed, pixels, *args, **kwargs)
            grid = patches.shape[1:3] if patches.ndim == 4 else vit.patch_embed.grid_size
            cells = getattr(vit.patch_embed, "cells", None)  # of tokens of several sizes
            embedded.append((TokenGrid((int(grid[0]), int(grid[1])), cells), len(pixels)))
            if embed is None:
                return patches
            return embed(patches.flatten(1, -2)).view_as(patches)

        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced(vit, "forward_features", forward_features))
            stack.enter_context(replaced(vit.patch_embed, "forward", patch_embed))
            if step is not None:
                for index, block in enumerate(self.blocks):
                    forward = functools.partial(_block_forward, step, index, block)
                    stack.enter_context(replaced(block, "forward", forward))
            if before_first is not None:
                show = functools.partial(_show_input, before_first)
                handle = self.blocks[0].register_forward_pre_hook(show, with_kwargs=True)
                stack.callback(handle.remove)
            outputs = self._call(images)
        if len(features) != 1 or len(embedded) != 1:
            raise ModelError(
                f"expected {type(self._model).__name__} to call its transformer once (vit(x) or vit.forward_features"
                f"(x)), found {len(features)} calls; {call_hint(self._model)}"
            )
        self._tokens, batch = embedded[0]
        if batch != len(images) or self._tokens.tokens + self.prefix != features[0].shape[1]:
            raise ModelError(
                f"expected one sequence of {self.prefix} + {self._tokens.tokens} tokens per image, found "
                f"{batch} sequences of {features[0].shape[1]} for {len(images)} images; this model cannot be explained"
            )
        return Readout(self._checked(outputs, len(images)), features[0], vit)

    @property
    def tokens(self) -> TokenGrid:
        """Where the patch tokens of the images that were run last lie."""
        if self._tokens is None:
            raise ModelError("expected images to be run before their token grid is read")
        return self._tokens

    @property
    def grid(self) -> tuple[int, int]:
        """The token grid (rows, columns) of the images that were run last; of their smallest tokens."""
        return self.tokens.size

    def covered(self, size: tuple[int, int]) -> tuple[int, int]:
        """Pixels (rows, columns) that the token grid covers in the images of ``size`` (H, W) that were run last."""
        return covered_pixels(self.vit, self.grid, size)

    def read_out(self, features: Tensor, images: Tensor) -> Readout:
        """Run the model from ``features`` (M, r, d), the tokens after the final norm.

        ``images`` (N, C, H, W) are what the model around the transformer is given: row m of the features belongs to
        image m mod N, as in M = draws x N rows, draw by draw.
        """
        if self._model is self.vit:
            outputs = self.vit.forward_head(features)
        else:
            calls: list[None] = []

            def forward_features(*args: Any, **kwargs: Any) -> Tensor:
                calls.append(None)
                return features

            with replaced(self.vit, "forward_features", forward_features):
                outputs = self._call(images.repeat(-(-len(features) // len(images)), 1, 1, 1)[: len(features)])
            if len(calls) != 1:
                raise ModelError(
                    f"expected {type(self._model).__name__} to call its transformer once (vit(x) or "
                    f"vit.forward_features(x)), found {len(calls)} calls; {call_hint(self._model)}"
                )
        return Readout(self._checked(outputs, len(features), finite=False), features, self.vit)

    def rows_read(self, tokens: Tensor, images: Tensor, embedding: bool = False) -> int:
        """How many of the first tokens the outputs depend on after the last block: 1, the prefix, or all of them.

        Found by the gradients of the outputs, in random proportions, at the tokens of some images and at random ones,
        and by the outputs themselves when the other tokens are exchanged.

        Args:
            tokens: (N, n, d), tokens of any block.
            images: as for :meth:`read_out`.
            embedding: whether the embedding must depend on no more than these, too.
        """
        generator = torch.Generator().manual_seed(0)
        images, tokens = images[:_PROBES], self.vit.norm(tokens[:_PROBES]).detach()
        images, tokens = images.repeat(2, 1, 1, 1), torch.cat([tokens, _normal(tokens.shape, generator).to(tokens)])

        def answers(features: Tensor) -> Tensor:
            readout = self.read_out(features, images)
            return torch.cat([readout.outputs, readout.embedding()], 1) if embedding else readout.outputs

        with torch.enable_grad():
            leaf = tokens.clone().requires_grad_()
            outputs = answers(leaf)
            mixed = (outputs * _normal(outputs.shape, generator).to(outputs)).sum()
        (gradient,) = torch.autograd.grad(mixed, leaf) if outputs.requires_grad else (torch.ones_like(leaf),)
        read = gradient.ne(0).any(dim=2).any(dim=0)
        for rows in sorted({min(1, self.prefix), self.prefix} - {0}):
            others = torch.cat([tokens[:, :rows], _normal(tokens.shape, generator).to(tokens)[:, rows:]], dim=1)
            if not read[rows:].any() and torch.equal(answers(others), outputs.detach()):
                return rows
        return tokens.shape[1]

    def modules(self) -> Iterator[nn.Module]:
        """Every module of the stand-in."""
        return self._model.modules()

    def _call(self, images: Tensor) -> Any:
        try:
            return self._model(images)
        except AssertionError as error:  # timm states its input sizes with assert
            raise InputError(f"the model refuses images of shape {tuple(images.shape)}: {error}") from error

    def _checked(self, outputs: Any, count: int, finite: bool = True) -> Tensor:
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != count:
            found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ModelError(f"expected outputs of shape ({count}, K), found {found}; wrap the model to return those")
        if finite and not outputs.isfinite().all():
            raise ModelError("expected finite outputs, found NaN or infinity; check the weights and the images' range")
        return outputs


def _show_input(show: Callable[[Tensor, Tensor | None], object], block: nn.Module, args: Any, given: Any) -> None:
    show(args[0], given.get("rope", args[1] if len(args) > 1 else None))


def _channels_of(module: nn.Module | None) -> int | None:
    """Channels that the first convolution of ``module`` takes; None where it has none."""
    convolutions = (part for part in ([] if module is None else module.modules()) if isinstance(part, nn.Conv2d))
    first = next(convolutions, None)
    return None if first is None else first.in_channels


def _block_forward(
    step: BlockStep, index: int, block: TransformerBlock, tokens: Tensor, rope: Tensor | None = None, **unused: Any
) -> Tensor:
    return step(index, block, tokens, rope)


@contextlib.contextmanager
def replaced(module: nn.Module, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let a stand-in's module answer ``name`` with ``function`` for a while; also keeps no reference cycle alive."""
    earlier = {name: module.__dict__[name]} if name in module.__dict__ else {}
    module.__dict__[name] = function
    try:
        yield
    finally:
        del module.__dict__[name]
        module.__dict__.update(earlier)


def _normal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _replicate(module: nn.Module, replicas: dict[int, nn.Module], dtype: torch.dtype | None) -> nn.Module:
    """Copy a tree of modules, in evaluation mode, around the same tensors (detached from autograd)."""
    if id(module) in replicas:
        return replicas[id(module)]
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(f"expected an eager model, found the scripted {type(module).__name__}; pass the original")
    if "_orig_mod" in module._modules:  # compiled; the class of it stands in a module that takes seconds to import
        return _replicate(cast(nn.Module, module._orig_mod), replicas, dtype)
    replica = object.__new__(type(module))
    replicas[id(module)] = replica
    for name, value in vars(module).items():
        if name.startswith("_") and isinstance(value, dict):
            value = value.copy()
        elif isinstance(value, types.MethodType) and value.__self__ is module:  # a method replaced on the object
            value = types.MethodType(value.__func__, replica)
        replica.__dict__[name] = value
    replica.__dict__["training"] = False
    replica.__dict__["_compiled_call_impl"] = None
    stores: list[dict[str, Any]] = [replica._parameters, replica._buffers]
    for tensors in stores:
        for name, tensor in tensors.items():
            if tensor is not None:
                shared = tensor.clone() if tensor.is_inference() else tensor.detach()
                tensors[name] = shared.to(dtype) if dtype is not None and shared.is_floating_point() else shared
    for name, child in replica._modules.items():
        replica._modules[name] = None if child is None else _replicate(child, replicas, dtype)
    return replica
