"""How a thresholded map overlaps the mask."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from scipy.ndimage import find_objects, label
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric

_EIGHT_NEIGHBOURS = np.ones((3, 3))


@dataclass(frozen=True)
class _MaskOverlap(Metric):
    """AGCAM's localisation protocol: the map scaled to 0..1 by its own extremes, above a threshold, against the mask.

    A constant map has no extremes and nothing above the threshold. NaN without a mask.
    """

    threshold: float = 0.5
    boxes: bool = False
    end_pixel: bool = False

    higher_is_better = True
    units = "share"
    needs = frozenset({"mask"})
    reference = "arXiv:2402.04563"
    published = MappingProxyType({"boxes": True, "end_pixel": True})

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"expected a threshold from 0 to below 1, found {self.threshold}")

    def found(self, batch: ExplanationBatch) -> Tensor:
        """Marked area of the map, (N, H, W) bool."""
        marked = above(batch.pixel_maps, self.threshold)
        return bounding_boxes(marked, int(self.end_pixel)) if self.boxes else marked

    def _score(self, batch: ExplanationBatch) -> Tensor:
        found = self.found(batch)
        truth = bounding_boxes(given(batch.masks)) if self.boxes else given(batch.masks)
        hit = (found & truth).sum(dim=(1, 2)).double()
        return self._figure(hit, found.sum(dim=(1, 2)) - hit, truth.sum(dim=(1, 2)) - hit, truth[0].numel()).where(
            truth.flatten(1).any(dim=1), float("nan")
        )

    @staticmethod
    @abstractmethod
    def _figure(hit: Tensor, wrong: Tensor, missed: Tensor, pixels: int) -> Tensor:
        """The figure (N,) out of true positives, false positives, false negatives and all pixels."""


@dataclass(frozen=True)
class PixelAccuracy(_MaskOverlap):
    """(TP + TN) / all, of the map above a threshold against the mask. High for an empty map: read it beside the others.

    Args:
        threshold: on the map scaled to 0..1 by its own extremes; values above it count.
        boxes: compare bounding boxes of connected parts (8 neighbours), the map's and the mask's, as published.
        end_pixel: make the map's boxes one pixel wider and higher at their ends, as the published code fills them.
    """

    name = "pixel_accuracy"

    @staticmethod
    def _figure(hit: Tensor, wrong: Tensor, missed: Tensor, pixels: int) -> Tensor:
        return (pixels - wrong - missed) / pixels


@dataclass(frozen=True)
class IoU(_MaskOverlap):
    """TP / (TP + FP + FN), of the map above a threshold against the mask; 0 for a constant map.

    Args:
        threshold: as for pixel accuracy.
        boxes: as for pixel accuracy.
        end_pixel: as for pixel accuracy.
    """

    name = "iou"

    @staticmethod
    def _figure(hit: Tensor, wrong: Tensor, missed: Tensor, pixels: int) -> Tensor:
        return hit / (hit + wrong + missed)


@dataclass(frozen=True)
class Dice(_MaskOverlap):
    """2 TP / (2 TP + FP + FN), of the map above a threshold against the mask; 0 for a constant map.

    Args:
        threshold: as for pixel accuracy.
        boxes: as for pixel accuracy.
        end_pixel: as for pixel accuracy.
    """

    name = "dice"

    @staticmethod
    def _figure(hit: Tensor, wrong: Tensor, missed: Tensor, pixels: int) -> Tensor:
        return 2 * hit / (2 * hit + wrong + missed)


@dataclass(frozen=True)
class MaskPrecision(_MaskOverlap):
    """TP / (TP + FP), of the map above a threshold against the mask; 0 for a constant map.

    Args:
        threshold: as for pixel accuracy.
        boxes: as for pixel accuracy.
        end_pixel: as for pixel accuracy.
    """

    name = "mask_precision"

    @staticmethod
    def _figure(hit: Tensor, wrong: Tensor, missed: Tensor, pixels: int) -> Tensor:
        return hit / (hit + wrong).clamp(min=1)


@dataclass(frozen=True)
class MaskRecall(_MaskOverlap):
    """TP / (TP + FN), of the map above a threshold against the mask. High for a map that marks everything.

    Args:
        threshold: as for pixel accuracy.
        boxes: as for pixel accuracy.
        end_pixel: as for pixel accuracy.
    """

    name = "mask_recall"

    @staticmethod
    def _figure(hit: Tensor, wrong: Tensor, missed: Tensor, pixels: int) -> Tensor:
        return hit / (hit + missed)


def scaled(maps: Tensor) -> Tensor:
    """``maps`` (N, H, W) from 0 to 1 by their own extremes; a constant map becomes zeros."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low).where(high > low, 1)


def above(maps: Tensor, threshold: float) -> Tensor:
    """Where maps (N, H, W), scaled to 0..1, exceed ``threshold``: bool."""
    return scaled(maps) > threshold


def bounding_boxes(masks: Tensor, more: int = 0) -> Tensor:
    """Masks (N, H, W) with the box of every connected part filled, and ``more`` rows and columns at its end."""
    boxes = np.zeros(masks.shape, bool)
    for place, mask in enumerate(masks.cpu().numpy()):
        parts, _ = label(mask, _EIGHT_NEIGHBOURS)
        for box in find_objects(parts):
            rows, columns = (slice(side.start, side.stop + more) for side in box)
            boxes[place][rows, columns] = True
    return torch.from_numpy(boxes).to(masks.device)
