"""Random changes of a whole patch by MONAI's transforms, before any view is cut from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ctxai.data.settings import VolumeConfig

if TYPE_CHECKING:
    from monai.transforms import Compose

_AIR_HU = -1000


def change_volume(hu: torch.Tensor, config: VolumeConfig, key: tuple[int, ...]) -> torch.Tensor:
    """A changed copy of one patch.

    Args:
        hu: (superior, posterior, left) at 1 mm, HU. What comes in from outside of it is air.
        config: how far to go.
        key: decides every random number.

    Returns:
        float32, the same shape; not clamped to any window.
    """
    transforms = _transforms(config)
    transforms.set_random_state(seed=int(np.random.SeedSequence(key).generate_state(1)[0]))
    above_air = hu[None].to(torch.float32) - _AIR_HU  # MONAI fills with zeros
    changed = transforms(above_air)
    plain = changed.as_tensor() if hasattr(changed, "as_tensor") else changed
    return plain[0].to(torch.float32) + _AIR_HU


def _transforms(config: VolumeConfig) -> Compose:
    # Here, because its import takes seconds and most trainings do without it.
    from monai.transforms import Compose, RandAffine, RandGaussianNoise, RandGaussianSmooth, Transform

    chosen: list[Transform] = []
    p = config.probability
    if config.geometry:
        chosen.append(
            RandAffine(
                prob=p,
                rotate_range=[math.radians(config.rotation_deg)] * 3,
                shear_range=[config.shear] * 6,
                translate_range=[config.shift_mm] * 3,
                scale_range=[config.scale] * 3,
                padding_mode="zeros",
            )
        )
    if config.blur_mm:
        limits = (0.0, config.blur_mm)
        chosen.append(RandGaussianSmooth(limits, limits, limits, prob=p))
    if config.noise_hu:
        chosen.append(RandGaussianNoise(prob=p, std=config.noise_hu))
    return Compose(chosen)
