"""Whether the most important point lies where it should."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric


@dataclass(frozen=True)
class PointingGame(Metric):
    """1 where the largest value of the map, at the images' size, lies in the mask, 0 where it does not.

    Where several pixels share the largest value, as those of one token do, the share of them that hits. A constant map
    scores the mask's share of the image. One point decides, so the figure is noisy; NaN without a mask.

    Args:
        tolerance: pixels by which the mask is widened in every direction.

    Raises:
        InputError: for a negative tolerance.
    """

    tolerance: float = 0.0

    name = "pointing_game"
    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:1608.00507"
    published = MappingProxyType({"tolerance": 15.0})

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise InputError(f"expected a tolerance of 0 pixels or more, found {self.tolerance}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        maps, masks = batch.pixel_maps, given(batch.masks)
        largest = maps == maps.amax(dim=(1, 2), keepdim=True)
        hits = (largest & self._widened(masks)).sum(dim=(1, 2)) / largest.sum(dim=(1, 2))
        return hits.double().where(masks.flatten(1).any(dim=1), float("nan"))

    def _widened(self, masks: Tensor) -> Tensor:
        if self.tolerance == 0:
            return masks
        outside = [distance_transform_edt(~mask) for mask in masks.cpu().numpy()]
        return torch.from_numpy(np.stack(outside) <= self.tolerance).to(masks.device)
