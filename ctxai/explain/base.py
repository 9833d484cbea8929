"""Base class of explanation methods: one verb, metadata, registration by name."""

from __future__ import annotations

import copy
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import InputError, one_line
from ctxai.explain.clinical_baselines import ImageScale
from ctxai.explain.huggingface import as_timm
from ctxai.explain.images import check_images, image_size
from ctxai.explain.network import Network, find_vit
from ctxai.explain.own_forward import check_own_forward
from ctxai.explain.targets import Target, Targets
from ctxai.explain.token_grid import place_on_image
from ctxai.registry import Registry

_log = logging.getLogger(__name__)

NEEDS = frozenset({"attention", "gradients", "training"})


class Attribution(ABC):
    """An explanation method for a vision transformer.

    A method is a subclass that sets the class attributes below and defines :meth:`_maps`; defining it registers it.
    The model's parameters, flags and hooks are left as they are, and nothing depends on the caller's gradient mode,
    on the model's training flag or on whether weights are frozen.

    Args:
        model: a timm VisionTransformer or Eva, or a module that holds exactly one, with outputs (N, K). HuggingFace's
            ViT and Dinov2 are converted (:func:`~ctxai.explain.huggingface.from_huggingface`).

    Raises:
        ModelError: when the model holds not exactly one such transformer, or one that cannot be traced.
    """

    name: ClassVar[str]
    """The name in registries, configurations and file names."""
    signed: ClassVar[bool]
    """Whether negative values mean evidence against the target."""
    class_specific: ClassVar[bool]
    """Whether maps of different targets differ."""
    resolution: ClassVar[str] = "patch"
    """Unit of one value: a "patch" (token) or a "pixel"."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Out of "attention", "gradients" and "training" (an optimisation before the first map)."""
    reference: ClassVar[str]
    """Where the method is published."""
    dtype: ClassVar[torch.dtype | None] = None
    """Floating-point type to compute in, whatever the model's own; by default the model's."""
    complete: ClassVar[bool] = False
    """Whether a map times the number of channels promises to sum to f(x) - f(0)."""
    upsampling: ClassVar[str] = "nearest"
    """The method's own published rule to make a map larger: "nearest" or "bilinear"."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            return
        missing = [field for field in ("signed", "class_specific", "reference") if not hasattr(cls, field)]
        if missing or not cls.needs <= NEEDS:
            raise InputError(f"{cls.__qualname__}: expected metadata {missing or sorted(NEEDS)}; see Attribution")
        METHODS.register(cls.name, cls)

    def __init__(self, model: nn.Module) -> None:
        self.model = as_timm(model)
        find_vit(self.model)

    @classmethod
    def options_for(cls, scale: ImageScale, turns: int, outlined: bool) -> dict[str, Any]:
        """Options that a run determines, for a method made by name: none, unless a method has some.

        Args:
            scale: of its images.
            turns: of an image that its predictions average over.
            outlined: whether its model outlines nodules.
        """
        return {}

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method, without the model, by argument name."""
        parameters = list(inspect.signature(type(self).__init__).parameters)[2:]
        return {name: getattr(self, name) for name in parameters if hasattr(self, name)}

    def changed(self, change: Callable[[nn.Module], nn.Module]) -> Attribution:
        """The same method on another model, that ``change`` makes of its own."""
        other = copy.copy(self)
        other.model = change(self.model)
        return other

    def attribute(self, images: Tensor, target: Target = None, size: tuple[int, int] | None = None) -> Tensor:
        """Explain ``images`` (N, C, H, W), preprocessed as the model expects.

        Args:
            images: a finite floating-point batch.
            target: which number to explain; see :class:`~ctxai.explain.targets.Targets`.
            size: (H, W) to upsample the maps to, by the method's own rule.

        Returns:
            Raw maps, detached, in the dtype and on the device of ``images``: (N, h, w), or (N, T, h, w) when
            ``target`` is a list or tuple of T. (h, w) is the token grid or the image, see :attr:`resolution`.

        Raises:
            InputError: for images or targets that the model has no answer for.
            ModelError: for a model that cannot be traced.
        """
        (maps,) = self._explained(lambda *given: (self._maps(*given),), images, target, size)
        return maps

    def _explained(
        self,
        compute: Callable[[Network, Tensor, Targets], tuple[Tensor, ...]],
        images: Tensor,
        target: Target,
        size: tuple[int, int] | None,
    ) -> tuple[Tensor, ...]:
        """Do what :meth:`attribute` does around :meth:`_maps`, for a function that gives several such maps."""
        check_images(images)
        if self.dtype is not None:
            try:
                return self._explained_in(self.dtype, compute, images, target, size)
            except RuntimeError as error:  # of a model that casts to a type of its own
                if not any(word in str(error) for word in ("dtype", "should be the same", "scalar type")):
                    raise
                _log.warning("%s runs in the model's own precision, which it casts to: %s", self.name, one_line(error))
        return self._explained_in(None, compute, images, target, size)

    def _explained_in(
        self,
        dtype: torch.dtype | None,
        compute: Callable[[Network, Tensor, Targets], tuple[Tensor, ...]],
        images: Tensor,
        target: Target,
        size: tuple[int, int] | None,
    ) -> tuple[Tensor, ...]:
        with torch.inference_mode(False), torch.no_grad():
            network = Network(self.model, dtype)
            with torch.autocast(network.device.type, enabled=False):
                batch = images.detach().to(network.device, network.dtype)
                batch = batch.clone() if batch.is_inference() else batch
                targets = Targets(target, network.target_names, len(images))
                if self.resolution == "patch" or "attention" in self.needs:
                    check_own_forward(network, batch)
                finished = []
                for maps in compute(network, batch, targets):
                    maps = maps.detach().expand(len(targets), *maps.shape[1:]).transpose(0, 1)
                    if size is not None:
                        maps = self._resize(maps, size, network, image_size(batch))
                    maps = maps if targets.several else maps[:, 0]
                    finished.append(maps.contiguous().to(images.device, images.dtype))
                return tuple(finished)

    @abstractmethod
    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        """Compute the maps (T, N, h, w); a method that ignores the target gives (1, N, h, w).

        Runs without gradients; use ``torch.enable_grad()`` around what needs a graph.
        """

    def _resize(self, maps: Tensor, size: tuple[int, int], network: Network, image: tuple[int, int]) -> Tensor:
        if len(size) != 2 or min(size) < 1:
            raise InputError(f"expected size as (height, width) in pixels, found {size}")
        mode = "nearest-exact" if self.upsampling == "nearest" else "bilinear"
        if self.resolution == "patch" and network.covered(image) != image:
            maps = place_on_image(maps, network.covered(image), image, mode)
        options = {} if mode == "nearest-exact" else {"align_corners": False}
        return F.interpolate(maps, size=tuple(size), mode=mode, **options)


METHODS: Registry[type[Attribution]] = Registry("an explanation method", "ctxai.explain.methods", "ctxai.explain")


def list_methods() -> list[str]:
    """Names of all explanation methods, sorted."""
    return METHODS.names()


def get_method(name: str) -> type[Attribution]:
    """Class of an explanation method by name; capitals, hyphens and underscores are ignored.

    Raises:
        InputError: for an unknown name.
    """
    return METHODS.get(name)


def check_block(model: nn.Module, index: int) -> None:
    """Refuse a block index (negative counts from the end) that ``model`` has no block for.

    Raises:
        InputError: naming the range.
    """
    depth = len(find_vit(model).blocks)
    if not -depth <= index < depth:
        raise InputError(f"expected a block from {-depth} to {depth - 1}, found {index}; the model has {depth} blocks")
