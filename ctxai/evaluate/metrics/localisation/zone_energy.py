"""In which part of a nodule, or around it, a map's positive evidence lies."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.metrics.localisation.energy_inside import positive_share


@dataclass(frozen=True)
class _ZoneEnergy(Metric):
    """The share of the positive part of the map in one zone of the mask."""

    rim_mm: float = 2.0
    surround_mm: float = 6.0
    relative: bool = False

    higher_is_better = None
    units = "share"
    needs = frozenset({"mask", "views"})
    reference = "this project"

    def __post_init__(self) -> None:
        if not 0 < self.rim_mm < self.surround_mm:
            raise InputError(f"expected 0 < rim_mm < surround_mm, found {self.rim_mm} and {self.surround_mm}")

    def zone(self, batch: ExplanationBatch) -> Tensor:
        """The zone, (N, H, W) bool; empty where there is no mask, or no such zone in it."""
        distance = batch.recall("distance", lambda: signed_distance(given(batch.masks), batch.mm_per_pixel))
        return self._within(distance)

    def _score(self, batch: ExplanationBatch) -> Tensor:
        zone = self.zone(batch)
        return positive_share(batch.pixel_maps, zone, zone.flatten(1).any(dim=1), self.relative)

    @abstractmethod
    def _within(self, distance: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class CoreEnergy(_ZoneEnergy):
    """Share of the positive part of the map in the core: deeper than ``rim_mm`` inside the mask.

    NaN for a nodule too small to have one. The zones differ in size, so compare methods and targets on one zone, or
    take ``relative``.

    Args:
        rim_mm: half the width of the rim.
        surround_mm: how far the surround reaches.
        relative: divide by the zone's share of the image: 1 is chance.
    """

    name = "core_energy"

    def _within(self, distance: Tensor) -> Tensor:
        return distance < -self.rim_mm


@dataclass(frozen=True)
class RimEnergy(_ZoneEnergy):
    """Share of the positive part of the map on the rim: within ``rim_mm`` of the mask's outline, on both sides.

    Args:
        rim_mm: half the width of the rim.
        surround_mm: how far the surround reaches.
        relative: divide by the zone's share of the image: 1 is chance.
    """

    name = "rim_energy"

    def _within(self, distance: Tensor) -> Tensor:
        return distance.abs() <= self.rim_mm


@dataclass(frozen=True)
class SurroundEnergy(_ZoneEnergy):
    """Share of the positive part of the map in the surround: from ``rim_mm`` to ``surround_mm`` outside the mask.

    Args:
        rim_mm: half the width of the rim.
        surround_mm: how far the surround reaches.
        relative: divide by the zone's share of the image: 1 is chance.
    """

    name = "surround_energy"

    def _within(self, distance: Tensor) -> Tensor:
        return (distance > self.rim_mm) & (distance <= self.surround_mm)


def signed_distance(masks: Tensor, mm_per_pixel: float) -> Tensor:
    """Distance (N, H, W) in mm, float64, from a pixel's centre to the outline of its mask, negative inside.

    NaN without a mask. The outline runs half-way between a pixel inside and its neighbour outside.
    """
    distances = np.full(masks.shape, np.nan)
    for place, mask in enumerate(masks.cpu().numpy()):
        if mask.any():
            outside = distance_transform_edt(~mask) - 0.5
            inside = distance_transform_edt(mask) - 0.5 if not mask.all() else np.full(mask.shape, np.inf)
            distances[place] = np.where(mask, -inside, outside) * mm_per_pixel
    return torch.from_numpy(distances).to(masks.device)
