"""Random changes of a nodule while training, made in three dimensions before a view is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ctxai.data.erase import EraseConfig
from ctxai.data.views import ViewConfig, view_frame
from ctxai.data.volume import VolumeConfig


@dataclass(frozen=True)
class AugmentConfig:
    """How far a training image may differ from the nodule as it is; 0 switches a change off.

    Geometry is changed in the frame of the view, so that a coronal image stays a coronal one.

    Args:
        turns: any of the four quarter turns in the plane.
        rotation_deg: further rotation in the plane, up to this angle either way.
        tilt_deg: rotation out of the plane, up to this angle about each of its axes.
        scale: relative change of size, kept small because size is a sign of malignancy.
        shift_mm: displacement in the plane.
        slice_fraction: slices are drawn up to this part of the nodule's radius from its centre.
        noise_hu: largest standard deviation of Gaussian noise.
        level_hu: displacement of all HU.
        contrast: relative change of the distance to the window's centre.
        mirror: with turns, their mirror images too.
        slice_steps: draw instead one of the slices this many whole millimetres either side of the centre, and the
            centre; 0 for none.
        volume: changes of the whole patch, made by MONAI before the plane is cut.
        far_shift_mm: largest displacement in the plane, in any direction, of the images of ``far_share``, in place of
            ``shift_mm``: marks that lie beside the nodule's centre.
        far_share: part of the images that are displaced so far.
        erase: parts of the image removed.
    """

    turns: bool = True
    rotation_deg: float = 15.0
    tilt_deg: float = 10.0
    scale: float = 0.05
    shift_mm: float = 1.5
    slice_fraction: float = 0.5
    noise_hu: float = 30.0
    level_hu: float = 30.0
    contrast: float = 0.05
    mirror: bool = True
    slice_steps: int = 0
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    far_shift_mm: float = 0.0
    far_share: float = 0.0
    erase: EraseConfig = field(default_factory=EraseConfig)


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
