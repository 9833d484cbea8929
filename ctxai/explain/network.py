"""A model seen as one vision transformer with something before and after it.

Explaining a model means running it with changed parts: other attention, hidden tokens replaced, evaluation mode,
gradients where the caller has none. All of that happens on a :class:`Network`, a second tree of module objects that
shares every parameter and buffer with the caller's model. The caller's modules are never touched, so there is nothing
to restore after an error, and two threads can explain one model.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models.eva import Eva, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ctxai.errors import InputError, ModelError
from ctxai.explain.timm_types import Transformer, TransformerBlock

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
            f"{type(model).__name__}; these methods explain vision transformers only"
        )
    vit = cast(Transformer, found[0])
    if getattr(vit, "attn_pool", None) is not None:
        raise ModelError(
            f"expected a class-token or pooled read-out, found an attention-pooling head (global_pool="
            f"{vit.global_pool!r}); use a model with global_pool='token' or 'avg'"
        )
    for index, block in enumerate(vit.blocks):
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

    Attributes:
        vit: the stand-in's transformer.
        blocks: its blocks, first to last.
        prefix: how many tokens come before the patches (class, registers, distillation).
        target_names: the model's names for its outputs, or an empty tuple.

    Raises:
        ModelError: as :func:`find_vit`.
    """

    def __init__(self, model: nn.Module) -> None:
        original = find_vit(model)
        replicas: dict[int, nn.Module] = {}
        self._model = _replicate(model, replicas)
        self.vit = cast(Transformer, replicas[id(original)])
        self.vit.grad_checkpointing = False
        self.blocks = list(self.vit.blocks)
        self.prefix: int = self.vit.num_prefix_tokens
        self.target_names: tuple[str, ...] = tuple(getattr(model, "target_names", None) or ())
        weight = next(value for value in self.vit.parameters() if value.is_floating_point())
        self.dtype, self.device = weight.dtype, weight.device
        self._grid: tuple[int, int] | None = None

    def run(
        self, images: Tensor, step: BlockStep | None = None, embed: Callable[[Tensor], Tensor] | None = None
    ) -> Readout:
        """Run the whole model on ``images`` (N, C, H, W), with ``step`` in place of every block.

        ``embed`` changes the patch embeddings (N, patches, d), before positions are added.

        Raises:
            InputError: when the model refuses the images' size or channels.
            ModelError: when the model does not run its transformer once on the whole batch, or its outputs are not
                one finite (N, K) tensor.
        """
        features: list[Tensor] = []
        embedded: list[tuple[tuple[int, int], int]] = []
        vit = self.vit

        def forward_features(*args: Any, **kwargs: Any) -> Tensor:
            features.append(type(vit).forward_features(vit, *args, **kwargs))
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
            embedded.append(((int(grid[0]), int(grid[1])), len(pixels)))
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
            outputs = self._call(images)
        if len(features) != 1 or len(embedded) != 1:
            raise ModelError(
                f"expected {type(self._model).__name__} to call its transformer once (vit(x) or vit.forward_features"
                f"(x)), found {len(features)} calls; wrap it so that one call makes the features"
            )
        self._grid, batch = embedded[0]
        if batch != len(images) or self.grid[0] * self.grid[1] + self.prefix != features[0].shape[1]:
            raise ModelError(
                f"expected one sequence of {self.prefix} + {self.grid[0]}x{self.grid[1]} tokens per image, found "
                f"{batch} sequences of {features[0].shape[1]} for {len(images)} images; this model cannot be explained"
            )
        return Readout(self._checked(outputs, len(images)), features[0], vit)

    @property
    def grid(self) -> tuple[int, int]:
        """The token grid (rows, columns) of the images that were run last."""
        if self._grid is None:
            raise ModelError("expected images to be run before their token grid is read")
        return self._grid

    def read_out(self, features: Tensor, images: Tensor) -> Readout:
        """Run the model from ``features`` (M, r, d), the tokens after the final norm.

        ``images`` (N, C, H, W) only stand in where the model around the transformer expects an argument.
        """
        if self._model is self.vit:
            outputs = self.vit.forward_head(features)
        else:
            calls: list[None] = []

            def forward_features(*args: Any, **kwargs: Any) -> Tensor:
                calls.append(None)
                return features

            with replaced(self.vit, "forward_features", forward_features):
                outputs = self._call(images[:1].expand(len(features), *images.shape[1:]))
            if len(calls) != 1:
                raise ModelError(
                    f"expected {type(self._model).__name__} to call its transformer once (vit(x) or "
                    f"vit.forward_features(x)), found {len(calls)} calls; wrap it so that one call makes the features"
                )
        return Readout(self._checked(outputs, len(features), finite=False), features, self.vit)

    def rows_read(self, tokens: Tensor, images: Tensor, embedding: bool = False) -> int:
        """How many of the first tokens the outputs depend on after the last block: 1, the prefix, or all of them.

        Found by handing the read-out features (``tokens`` (N, n, d) gives their shape) that are NaN beyond the first.

        Args:
            tokens: tokens of any block.
            images: as for :meth:`read_out`.
            embedding: whether the embedding must depend on no more than these, too.
        """
        for rows in sorted({min(1, self.prefix), self.prefix} - {0}):
            features = torch.full_like(tokens[:1], torch.nan)
            features[:, :rows] = 0
            readout = self.read_out(features, images)
            if readout.outputs.isfinite().all() and not (embedding and readout.embedding().isnan().any()):
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
    module.__dict__[name] = function
    try:
        yield
    finally:
        del module.__dict__[name]


def _replicate(module: nn.Module, replicas: dict[int, nn.Module]) -> nn.Module:
    """Copy a tree of modules, in evaluation mode, around the same tensors (detached from autograd)."""
    if id(module) in replicas:
        return replicas[id(module)]
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(f"expected an eager model, found the scripted {type(module).__name__}; pass the original")
    if isinstance(module, torch._dynamo.eval_frame.OptimizedModule):
        return _replicate(module._orig_mod, replicas)
    replica = object.__new__(type(module))
    replicas[id(module)] = replica
    for name, value in vars(module).items():
        replica.__dict__[name] = value.copy() if name.startswith("_") and isinstance(value, dict) else value
    replica.__dict__["training"] = False
    replica.__dict__["_compiled_call_impl"] = None
    stores: list[dict[str, Any]] = [replica._parameters, replica._buffers]
    for tensors in stores:
        for name, tensor in tensors.items():
            if tensor is not None:
                tensors[name] = tensor.clone() if tensor.is_inference() else tensor.detach()
    for name, child in replica._modules.items():
        replica._modules[name] = None if child is None else _replicate(child, replicas)
    return replica
