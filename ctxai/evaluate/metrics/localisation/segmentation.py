"""Maps as segmentations, scored over a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.metrics.localisation.mask_overlap import scaled


@dataclass(frozen=True)
class SegmentationPixelAccuracy(Metric):
    """Chefer's segmentation protocol: correct pixels over all pixels, foreground being the map above its own mean.

    A constant map marks nothing and is right wherever the mask is not. NaN without a mask.
    """

    name = "segmentation_pixel_accuracy"
    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:2012.09838"

    def _score(self, batch: ExplanationBatch) -> Tensor:
        right = _foreground(batch).eq(given(batch.masks)).double().mean(dim=(1, 2))
        return right.where(_has_mask(batch), float("nan"))


@dataclass(frozen=True)
class SegmentationMIoU(Metric):
    """Chefer's segmentation protocol: IoU of background and of foreground, each over the whole data set, their mean.

    Of one image: the same on its own pixels. The figure of a set is no mean of these; :meth:`summary` adds up
    intersections and unions first. NaN without a mask.
    """

    name = "segmentation_miou"
    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:2012.09838"

    def parts(self, batch: ExplanationBatch) -> np.ndarray:
        """Intersection and union of the background, then of the foreground, in pixels: (N, 4)."""
        self.score(batch)
        return self._areas(batch).cpu().numpy()

    def summary(self, parts: np.ndarray) -> float:
        """The mean of the two IoUs of a set of images out of their :meth:`parts`."""
        known = parts[~np.isnan(parts[:, 0])]
        if not len(known):
            return float("nan")
        total = known.sum(axis=0)
        return float((total[0] / total[1] + total[2] / total[3]) / 2)

    def _score(self, batch: ExplanationBatch) -> Tensor:
        areas = self._areas(batch)
        return (areas[:, 0] / areas[:, 1] + areas[:, 2] / areas[:, 3]) / 2

    @staticmethod
    def _areas(batch: ExplanationBatch) -> Tensor:
        found, truth = _foreground(batch), given(batch.masks)
        areas = [~found & ~truth, ~found | ~truth, found & truth, found | truth]
        counts = torch.stack([area.sum(dim=(1, 2)) for area in areas], dim=1).double()
        return counts.where(_has_mask(batch)[:, None], float("nan"))


@dataclass(frozen=True)
class SegmentationMAP(Metric):
    """Chefer's segmentation protocol: average precision of [1 - map, map] against [background, foreground], pooled.

    Both classes share one precision-recall curve, so that an image that is mostly background scores high whatever the
    map; `average_precision` asks for the foreground alone. The map is scaled to 0..1; NaN without a mask.
    """

    name = "segmentation_map"
    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:2012.09838"

    def _score(self, batch: ExplanationBatch) -> np.ndarray:
        maps, masks = scaled(batch.pixel_maps).flatten(1).cpu().numpy(), given(batch.masks).flatten(1).cpu().numpy()
        return np.array(
            [
                average_precision_score(np.concatenate([~mask, mask]), np.concatenate([1 - values, values]))
                if mask.any()
                else np.nan
                for mask, values in zip(masks, maps, strict=True)
            ]
        )


def _foreground(batch: ExplanationBatch) -> Tensor:
    maps = scaled(batch.pixel_maps)
    return maps > maps.mean(dim=(1, 2), keepdim=True)


def _has_mask(batch: ExplanationBatch) -> Tensor:
    return given(batch.masks).flatten(1).any(dim=1)
