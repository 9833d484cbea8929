"""Whether pixels that a map calls more important really count more."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_of_images, outputs_without, ranks


@dataclass(frozen=True)
class SaCo(Metric):
    """Salience-guided faithfulness coefficient, from -1 to 1.

    The pixels, in the order of the map, are cut into K equal groups, each of which is removed by itself. For every pair
    of groups the difference of their salience counts for the map where the more salient group costs at least as much
    probability, and against it where it costs less; divided by the sum of all differences. Where K does not divide the
    number of pixels a group's salience is its mean, so that sizes do not matter. NaN for a constant map.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        groups: K.

    Raises:
        InputError: for fewer than 2 groups.
    """

    fill: str = option("lung_mean", "fill")
    groups: int = 10

    name = "saco"
    higher_is_better = True
    units = "coefficient"
    needs = frozenset({"model"})
    reference = "arXiv:2404.01415"
    published = MappingProxyType({"fill": "image_mean"})
    zero_by_chance = True

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise InputError(f"expected at least 2 groups, found {self.groups}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        maps = batch.pixel_maps
        pixels = maps[0].numel()
        if self.groups > pixels:
            raise InputError(f"{self.name}: expected at most one group per pixel, {pixels}, found {self.groups}")
        group = (ranks(maps.flatten(1), "MoRF") * self.groups // pixels).view(maps.shape)
        salience = torch.stack(
            [(maps * (group == k)).sum(dim=(1, 2)) / (group == k).sum(dim=(1, 2)) for k in range(self.groups)], dim=1
        )
        outputs = outputs_without(
            batch, lambda image, change: group[image] == change[:, None, None], self.groups, self.fill
        )
        drop = batch.probability(outputs_of_images(batch))[:, None] - batch.probability(outputs)
        first, second = torch.triu_indices(self.groups, self.groups, offset=1)
        more = salience[:, first] - salience[:, second]
        agrees = torch.where(drop[:, first] >= drop[:, second], more, -more)
        constant = (maps.amax(dim=(1, 2)) == maps.amin(dim=(1, 2))) | (more.abs().sum(dim=1) == 0)
        return (agrees.sum(dim=1) / more.abs().sum(dim=1)).where(~constant, float("nan"))
