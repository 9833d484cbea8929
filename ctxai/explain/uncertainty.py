"""How far the maps of repeated explanations lie apart: over draws, or over models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.concept import Concept
from ctxai.explain.network import Network
from ctxai.explain.targets import DEFAULT_NAME, Target


class MapWithStd(NamedTuple):
    """Two maps of one shape.

    Attributes:
        mean: the mean of the repetitions' maps.
        std: their standard deviation (of these repetitions: divided by how many they are), in the map's own unit.
    """

    mean: Tensor
    std: Tensor


class Moments:
    """Mean and standard deviation of tensors that come in parts and are not kept.

    The parts' sums of squares are joined about their own means, so that nothing cancels.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    def __init__(self) -> None:
        self._count = 0
        self._total = self._squares = torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Take in ``values`` (k, ...), k repetitions."""
        count, total = len(values), values.sum(dim=0)
        squares = (values - total / count).square().sum(dim=0)
        if self._count:
            between = (total / count - self._total / self._count).square()
            squares = squares + between * (count * self._count / (count + self._count))
        self._count += count
        self._total = self._total + total
        self._squares = self._squares + squares

    def result(self) -> MapWithStd:
        """Mean and standard deviation, (...) each; there must have been a repetition."""
        return MapWithStd(self._total / self._count, (self._squares / self._count).sqrt())


def std_over_models(
    methods: Sequence[Attribution], images: Tensor, target: Target = None, size: tuple[int, int] | None = None
) -> MapWithStd:
    """Mean and standard deviation of the maps that models trained on other folds give, one model after another.

    ``std_over_models([CDAM(model) for model in models], images, "malignancy")`` tells where the models agree. Their
    maps have to be in one unit: the same method, and outputs on one scale, as logits and z-scores are.

    Args:
        methods: one for each model.
        images: (N, C, H, W), preprocessed as every one of the models expects.
        target: as for :class:`~ctxai.explain.targets.Targets`; each model's own output of this name or index.
        size: as for :meth:`~ctxai.explain.base.Attribution.attribute`.

    Returns:
        Mean and standard deviation, each of the shape that ``attribute`` gives.

    Raises:
        InputError: for no methods or different ones, maps of different shapes, a concept (its direction belongs to one
            model), or no target where a model names no malignancy (each could choose another output).
    """
    if not methods or len({type(method) for method in methods}) > 1:
        found = sorted({method.name for method in methods})
        raise InputError(f"expected one method on several models, found {', '.join(found) or 'none'}")
    asked = target if isinstance(target, list | tuple) else [target]
    if len(methods) > 1 and any(isinstance(one, Concept) for one in asked):
        raise InputError("expected a target that all models share, found a concept, which belongs to one model")
    if any(one is None for one in asked) and any(DEFAULT_NAME not in Network(m.model).target_names for m in methods):
        raise InputError(f"expected a target, found none; the models name no {DEFAULT_NAME}: give an output's index")
    moments = Moments()
    shape = None
    for method in methods:
        maps = method.attribute(images, target, size)
        if shape not in (None, maps.shape):
            raise InputError(
                f"expected maps of one shape, found {tuple(shape)} and {tuple(maps.shape)}; give size=(height, width)"
            )
        shape = maps.shape
        moments.add(maps[None])
    return moments.result()
