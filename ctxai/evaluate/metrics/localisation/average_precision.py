"""How well a map's order separates the mask from the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric


@dataclass(frozen=True)
class AveragePrecision(Metric):
    """Average precision of the map, at the images' size, as a score for a pixel to lie in the mask.

    Of each image by itself; needs no threshold. A map equal to the mask scores 1, a constant one the mask's share of
    the image, and so does chance. NaN without a mask.
    """

    name = "average_precision"
    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:2012.09838"

    def _score(self, batch: ExplanationBatch) -> np.ndarray:
        maps, masks = batch.pixel_maps.flatten(1).cpu().numpy(), given(batch.masks).flatten(1).cpu().numpy()
        return np.array(
            [
                average_precision_score(mask, values) if mask.any() else np.nan
                for mask, values in zip(masks, maps, strict=True)
            ]
        )
