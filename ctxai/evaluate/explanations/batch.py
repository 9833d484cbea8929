"""Input of metrics of explanations: images, a model, maps, and outlines, labels or a method where known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError, ModelError
from ctxai.explain.base import Attribution
from ctxai.explain.images import check_images, image_size
from ctxai.explain.network import find_vit
from ctxai.explain.token_grid import covered_pixels

_EXPLAINED_TOGETHER = 64

Link = Literal["identity", "sigmoid", "softmax"]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ExplanationBatch:
    """One batch of explanations: the maps of one method for one target.

    Only ``images`` and ``maps`` are always needed; a metric says in its ``needs`` what else it reads. Several metrics
    scored on one batch share the passes of the model that they have in common.

    Args:
        images: (N, C, H, W), preprocessed as the model expects.
        maps: (N, h, w), raw as ``attribute`` gives them, on the token grid or in pixels; finite.
        model: from images (M, C, H, W) to outputs (M, K); in evaluation mode.
        target: the output that the maps explain: its index, or one index per image, shape (N,).
        masks: (N, H, W) bool, where the evidence is expected: the readers' consensus, or planted truth.
        views: the run's views; fills in HU and distances in mm are read from it.
        method: what made the maps, for metrics that explain again.
        upsampling: "nearest" or "bilinear", how maps become pixels; without it, the method's own rule or "nearest".
        link: what makes a probability of the target's output: "sigmoid" for a logit of its own (the project's
            malignancy), "softmax" over all outputs (classes that exclude each other), or "identity" for an output
            that has none (the project's biomarkers), which metrics then read as it is.
        second_target: another output, for class sensitivity; as ``target``.
        second_maps: (N, h, w), the method's maps for it; without them the method is asked.
        labels: (N,), the true class of every image, NaN where unknown: 0 or 1 for "sigmoid", an output's index for
            "softmax".
        seed: of everything that a metric draws.
        batch_size: images that are run together.

    Raises:
        InputError: for shapes that do not belong together, maps that are not finite, one output given as both targets,
            or a model in training mode.
    """

    images: Tensor
    maps: Tensor
    model: Callable[[Tensor], Tensor] | None = None
    target: int | Tensor = 0
    masks: Tensor | None = None
    views: ViewConfig | None = None
    method: Attribution | None = None
    upsampling: Literal["nearest", "bilinear"] | None = None
    link: Link = "identity"
    second_target: int | Tensor | None = None
    second_maps: Tensor | None = None
    labels: Tensor | None = None
    seed: int = 0
    batch_size: int = 128
    _memory: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_images(self.images)
        count, _, height, width = self.images.shape
        for name in ("maps", "second_maps"):
            maps = getattr(self, name)
            if maps is None:
                continue
            if maps.ndim != 3 or len(maps) != count or not maps.is_floating_point() or not maps.isfinite().all():
                raise InputError(f"expected finite {name} ({count}, h, w) of {count} images, found {_found(maps)}")
        if self.masks is not None and (self.masks.shape != (count, height, width) or self.masks.dtype != torch.bool):
            raise InputError(f"expected bool masks ({count}, {height}, {width}), found {_found(self.masks)}")
        for name in ("target", "second_target", "labels"):
            value = getattr(self, name)
            if isinstance(value, Tensor) and value.shape != (count,):
                raise InputError(f"expected {name} of shape ({count},), one per image, found {tuple(value.shape)}")
        if self.second_target is not None and (self.indices(self.target) == self.indices(self.second_target)).any():
            raise InputError("expected another output as second target, found the target itself")
        if getattr(self.model, "training", False):
            raise InputError("expected a model in evaluation mode, found one in training mode; call model.eval()")

    def __len__(self) -> int:
        return len(self.images)

    def indices(self, target: int | Tensor) -> Tensor:
        """A target as one output index per image, (N,)."""
        if isinstance(target, Tensor):
            return target.long().to(self.images.device)
        return torch.full((len(self),), int(target), dtype=torch.long, device=self.images.device)

    def for_target(self, target: int | Tensor, link: Link, labels: Tensor | None = None) -> ExplanationBatch:
        """The same maps evaluated for another output, for methods whose maps do not depend on it; passes are shared.

        Second target and maps are left out.
        """
        other = replace(self, target=target, link=link, labels=labels, second_target=None, second_maps=None)
        object.__setattr__(other, "_memory", self._memory)
        return other

    @property
    def pixel_maps(self) -> Tensor:
        """The maps at the images' size, (N, H, W) float64.

        Values that are equal stay equal, and the map of the opposite sign becomes exactly the opposite, also between
        the tokens of a bilinear map.
        """
        return self.recall("pixel maps", self._pixel_maps)

    def _pixel_maps(self) -> Tensor:
        height, width = size = image_size(self.images)
        covered = self._covered()
        pixels = to_pixels(self.maps, covered, self.rule)
        margins = (0, max(0, width - covered[1]), 0, max(0, height - covered[0]))
        return pixels if covered == size else F.pad(pixels, margins)[:, :height, :width]

    def _covered(self) -> tuple[int, int]:
        """Pixels that the maps cover: another area than the image's where a model pads it or leaves margins out."""
        size, grid = image_size(self.images), (self.maps.shape[1], self.maps.shape[2])
        model = self.model if self.method is None else self.method.model
        try:
            vit = find_vit(model)  # type: ignore[arg-type]  # refuses what is no module
        except ModelError:
            return size
        covered = covered_pixels(vit, grid, size)
        patch = max(covered[0] // grid[0], covered[1] // grid[1])
        is_token_grid = max(abs(covered[0] - size[0]), abs(covered[1] - size[1])) < patch
        return covered if is_token_grid else size

    @property
    def rule(self) -> str:
        """How maps become pixels."""
        return self.upsampling or (self.method.upsampling if self.method is not None else "nearest")

    @property
    def mm_per_pixel(self) -> float:
        """Side of a pixel in mm.

        Raises:
            InputError: without views.
        """
        if self.views is None:
            raise InputError(
                "expected views, which tell the size of a pixel in mm, found none; give ExplanationBatch(views=...)"
            )
        return self.views.field_of_view_mm / self.images.shape[-1]

    def explained(self, outputs: Tensor) -> Tensor:
        """The target's entry of ``outputs`` (N, ..., K), shape (N, ...), float64."""
        index = self.indices(self.target).view(-1, *[1] * (outputs.ndim - 1)).to(outputs.device)
        return outputs.double().take_along_dim(index, dim=-1).squeeze(-1)

    def probability(self, outputs: Tensor) -> Tensor:
        """The target's probability by ``link`` out of ``outputs`` (N, ..., K), shape (N, ...), float64."""
        if self.link == "softmax":
            return self.explained(outputs.double().softmax(dim=-1))
        score = self.explained(outputs)
        return score.sigmoid() if self.link == "sigmoid" else score

    def explain(self, images: Tensor, target: int | Tensor, method: Attribution | None = None) -> Tensor:
        """Maps of other images (k · N, C, H, W), k times as many as the batch has, in its order: (k · N, h, w).

        By the batch's method, or another one.
        """
        indices = self.indices(target).repeat(len(images) // len(self))
        blocks = zip(images.split(_EXPLAINED_TOGETHER), indices.split(_EXPLAINED_TOGETHER), strict=True)
        explainer = method or given(self.method)
        return torch.cat([explainer.attribute(block, index) for block, index in blocks])

    def recall(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Result of ``compute`` at the first call with ``key``."""
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]


def given(value: T | None) -> T:
    """A field of a batch that a metric's ``needs`` have been checked for."""
    if value is None:
        raise InputError("expected a batch with all that the metric needs; see ExplanationBatch")
    return value


def to_pixels(maps: Tensor, size: tuple[int, int], rule: str) -> Tensor:
    """Maps (N, h, w) at ``size`` (H, W), float64, by "nearest" or "bilinear"."""
    maps = maps.double()
    if maps.shape[1:] == torch.Size(size):
        return maps
    if rule == "nearest":
        return F.interpolate(maps[:, None], size=tuple(size), mode="nearest-exact")[:, 0]
    flat = maps.flatten(1)
    middle = ((flat.amax(dim=1) + flat.amin(dim=1)) / 2)[:, None, None]
    # About the middle: a constant map is interpolated as zeros, free of rounding, and signs make no difference.
    return F.interpolate((maps - middle)[:, None], size=tuple(size), mode="bilinear")[:, 0] + middle


def _found(value: Tensor) -> str:
    finite = "" if not value.is_floating_point() or value.isfinite().all() else ", not finite"
    return f"{tuple(value.shape)} of {value.dtype}{finite}"
