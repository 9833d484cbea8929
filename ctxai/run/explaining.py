"""Explanation methods of what a run predicts: the mean over an ensemble's networks and over an image's turns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ctxai.data.views import turn, turn_back
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Target, Targets
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork

_METADATA = ("name", "signed", "class_specific", "resolution", "needs", "reference", "dtype", "complete", "upsampling")


def method_on(model: nn.Module, kind: type[Attribution], **options: Any) -> Attribution:
    """A method that explains the outputs of a run's network, or of its ensemble.

    Args:
        model: the run's.
        kind: the method.
        options: of the method.

    Raises:
        ModelError: when the network cannot be explained by it.
    """
    if isinstance(model, EnsembleClassifier):
        return MeanOverMembers(model, kind, **options)
    return kind(model, **options)


class _Mean(Attribution):
    """A mean of maps of other methods, whose metadata it has."""

    def __init__(self, model: nn.Module, method: Attribution) -> None:
        self.model = model
        for field in _METADATA:
            setattr(self, field, getattr(method, field))

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        raise NotImplementedError("it has no network of its own")


class MeanOverMembers(_Mean):
    """The mean of the maps of an ensemble's members, in the units of its output.

    Outputs are logits in all of them, or z-scores of each member's own training nodules: maps of these are brought to
    the ensemble's scale. Of a concept, and of a difference of outputs, the maps are averaged as they are.

    Args:
        model: the ensemble.
        kind: the method.
        options: of the method.
    """

    def __init__(self, model: EnsembleClassifier, kind: type[Attribution], **options: Any) -> None:
        zero = torch.zeros(1, 3, 1, 1, device=model.device)
        self._methods = [kind(member, **options) for member, _ in model.each(zero)]
        self._ensemble = model
        super().__init__(model, self._methods[0])

    @property
    def options(self) -> dict[str, Any]:
        """The members' options."""
        return self._methods[0].options | {"members": len(self._methods)}

    def changed(self, change: Callable[[nn.Module], nn.Module]) -> Attribution:
        """As `Attribution.changed`, for every member."""
        other = copy.copy(self)
        other._methods = [method.changed(change) for method in self._methods]
        return other

    def attribute(self, images: Tensor, target: Target = None, size: tuple[int, int] | None = None) -> Tensor:
        """As `Attribution.attribute`: the mean over the members."""
        maps = [
            method.attribute(own, target, size) * self._factors(member, target, len(own)).to(own)
            for method, (member, own) in zip(self._methods, self._ensemble.each(images), strict=True)
        ]
        return torch.stack(maps).mean(0)

    def _factors(self, member: NoduleNetwork, target: Target, count: int) -> Tensor:
        """Factors that bring a member's maps to the ensemble's scale, (N, 1, 1), or (N, T, 1, 1) of several targets."""
        if isinstance(target, list | tuple):
            return torch.stack([self._factors(member, one, count) for one in target], dim=1)
        if isinstance(target, str):
            target = member.target_names.index(target)
        factors = member.scale()[1] / self._ensemble.scale()[1]
        known = self.class_specific and isinstance(target, int | Tensor | np.ndarray)
        chosen = factors[torch.as_tensor(target, device=factors.device)] if known else torch.ones(1)
        return chosen.expand(count)[:, None, None]


class MeanOverTurns(_Mean):
    """The mean of the maps of an image's quarter turns and mirror images, each turned back.

    It explains a prediction that is the mean output over these turns.

    Args:
        method: explains one image.
        turns: how many of the eight.
    """

    def __init__(self, method: Attribution, turns: int) -> None:
        super().__init__(method.model, method)
        self._method, self._turns = method, turns

    @property
    def options(self) -> dict[str, Any]:
        """The method's options."""
        return self._method.options | {"turns": self._turns}

    def changed(self, change: Callable[[nn.Module], nn.Module]) -> Attribution:
        """As `Attribution.changed`."""
        return MeanOverTurns(self._method.changed(change), self._turns)

    def attribute(self, images: Tensor, target: Target = None, size: tuple[int, int] | None = None) -> Tensor:
        """As `Attribution.attribute`: the mean over the turns.

        Raises:
            InputError: for images that are not square.
        """
        if images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise InputError(f"expected square images (N, C, H, H) to turn, found shape {tuple(images.shape)}")
        turned = torch.cat([turn(images, number) for number in range(self._turns)])
        maps = self._method.attribute(turned, _repeated(target, self._turns), size)
        back = [turn_back(part, number) for number, part in enumerate(maps.split(len(images)))]
        return torch.stack(back).mean(0)


def _repeated(target: Target, count: int) -> Target:
    """A target of images for so many copies of all of them."""
    if isinstance(target, list | tuple):
        return [_repeated(one, count) for one in target]  # type: ignore[misc]  # one level deep
    if isinstance(target, Tensor | np.ndarray) and target.ndim:
        return torch.as_tensor(target).repeat(count)
    if callable(target):
        return lambda outputs: torch.cat([target(part) for part in outputs.split(len(outputs) // count)])
    return target
