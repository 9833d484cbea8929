"""How much of a map's positive evidence lies where it should."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric


@dataclass(frozen=True)
class EnergyInside(Metric):
    """Energy-based pointing game: the share of the positive part of the map, at the images' size, inside the mask.

    A map equal to the mask scores 1, a constant one the mask's share of the image, which is also what chance gives;
    large nodules are easy, so compare with a random map or take ``relative``. NaN without positive values or without a
    mask. Evidence may truly lie outside: on natural data this measures agreement with readers, not truth.

    Args:
        relative: divide by the mask's share of the image: 1 is chance.
    """

    relative: bool = False

    name = "energy_inside"
    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:1910.01279"
    summary_column = 3

    def _score(self, batch: ExplanationBatch) -> Tensor:
        masks = given(batch.masks)
        return positive_share(batch.pixel_maps, masks, masks.flatten(1).any(dim=1), self.relative)


def positive_share(maps: Tensor, zone: Tensor, known: Tensor, relative: bool) -> Tensor:
    """Share (N,) of the positive part of ``maps`` (N, H, W) that lies in ``zone`` (N, H, W) bool.

    ``relative`` divides by the zone's share of the image. NaN without positive values, or where not ``known`` (N,).
    """
    positive = maps.clamp(min=0)
    # Scaled first, so that sums of tiny values do not vanish.
    positive = positive / positive.amax(dim=(1, 2), keepdim=True)
    share = (positive * zone).sum(dim=(1, 2)) / positive.sum(dim=(1, 2))
    if relative:
        share = share / zone.double().mean(dim=(1, 2))
    return share.where(known, float("nan"))
