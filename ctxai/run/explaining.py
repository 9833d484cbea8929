"""Explanation methods for a run: on its one network, or as the mean over the networks of an ensemble."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Target, Targets
from ctxai.models.ensemble import EnsembleClassifier


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


class MeanOverMembers(Attribution):
    """The mean of the maps of an ensemble's members, each in the units of its own output.

    Malignancy is one logit in all of them; a biomarker's maps are brought to the scale of the ensemble's output.

    Args:
        model: the ensemble.
        kind: the method.
        options: of the method.
    """

    def __init__(self, model: EnsembleClassifier, kind: type[Attribution], **options: Any) -> None:
        self.model, self._ensemble = model, model
        zero = torch.zeros(1, 3, 1, 1, device=model.device)
        self._methods = [kind(member, **options) for member, _ in model.each(zero)]
        for field in ("name", "signed", "class_specific", "resolution", "needs", "reference", "complete", "upsampling"):
            if hasattr(kind, field):
                setattr(self, field, getattr(self._methods[0], field))

    @property
    def options(self) -> dict[str, Any]:
        """The members' options."""
        return self._methods[0].options | {"members": len(self._methods)}

    def attribute(self, images: Tensor, target: Target = None, size: tuple[int, int] | None = None) -> Tensor:
        """As `Attribution.attribute`: the mean over the members."""
        maps = [
            method.attribute(own, target, size)
            for method, (_, own) in zip(self._methods, self._ensemble.each(images), strict=True)
        ]
        return torch.stack(maps).mean(0)

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        raise NotImplementedError("each member has its own network")
