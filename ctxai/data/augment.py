"""Random changes of a nodule while training, made in three dimensions before a view is cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ctxai.data.settings import AugmentConfig, ViewConfig
from ctxai.data.views import view_frame


def _symmetric(generator: np.random.Generator, limit: float, size: int | None = None) -> Any:
    return limit * generator.uniform(-1.0, 1.0, size)


def _rotation(first: int, second: int, angle: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def random_plane(
    generator: np.random.Generator, view: str, diameter_mm: float, config: AugmentConfig, single_slice: bool = False
) -> torch.Tensor:
    """One random plane near a view's own, (3, 3) in the form that `ctxai.data.views.cut_planes` takes.

    Args:
        generator: every number is drawn from it.
        view: axial, coronal or sagittal.
        diameter_mm: the nodule's diameter, which limits the slices; NaN when unknown (centre slice).
        config: how far to go.
        single_slice: the patch is one slice: no tilt and no other slices.
    """
    turns, mirror = int(generator.integers(4)), bool(generator.integers(2))
    angle = _symmetric(generator, math.radians(config.rotation_deg))
    tilts = _symmetric(generator, math.radians(config.tilt_deg), 2)
    scale = math.exp(_symmetric(generator, math.log1p(config.scale)))
    shift = _symmetric(generator, config.shift_mm, 2)
    place = generator.uniform(-1.0, 1.0)
    offset = config.slice_fraction * np.nan_to_num(diameter_mm) / 2 * place
    if config.slice_steps:
        offset = math.floor((place + 1) / 2 * (2 * config.slice_steps + 1)) - config.slice_steps
    if config.far_share and generator.uniform() < config.far_share:
        direction, distance = generator.uniform(0, 2 * math.pi), config.far_shift_mm * math.sqrt(generator.uniform())
        shift = distance * np.array([math.cos(direction), math.sin(direction)])
    if single_slice:
        tilts, offset = np.zeros(2), 0.0
    if config.turns:
        angle += turns * math.pi / 2
    change = _rotation(1, 2, tilts[0]) @ _rotation(2, 0, tilts[1]) @ _rotation(0, 1, angle) * scale
    if config.turns and config.mirror and mirror:
        change = change @ np.diag([-1.0, 1.0, 1.0])
    plane = change.copy()
    plane[:, 2] = [shift[0], shift[1], offset]
    return view_frame(view) @ torch.from_numpy(plane).float()


def jitter_intensity(
    generator: np.random.Generator, images_hu: torch.Tensor, config: AugmentConfig, views: ViewConfig
) -> torch.Tensor:
    """One image (H, W) in clamped HU with its level, contrast and noise changed, clamped again."""
    low, high = views.hu_window
    centre = (low + high) / 2
    level, stretch = _symmetric(generator, config.level_hu), 1 + _symmetric(generator, config.contrast)
    sigma = config.noise_hu * generator.uniform()
    noise = torch.from_numpy(generator.standard_normal(images_hu.shape, dtype=np.float32))
    return ((images_hu - centre) * float(stretch) + centre + float(level) + sigma * noise).clamp_(low, high)
