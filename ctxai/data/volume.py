"""Random changes of a whole patch by MONAI's transforms, before any view is cut from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from monai.transforms import Compose

_AIR_HU = -1000


@dataclass(frozen=True)
class VolumeConfig:
    """Changes in three dimensions; all limits 0, the default, leave the patch as it is.

    They cost tens of milliseconds a patch: give the loader workers. The plane's own changes (`AugmentConfig`) come on
    top and are far cheaper; what only these can do is shear, stretch along one axis, and blur across slices.

    Args:
        probability: of each kind of change.
        rotation_deg: rotation about each axis, up to this angle either way.
        shear: largest shear factor.
        scale: relative change of size along each axis by itself.
        shift_mm: displacement along each axis.
        blur_mm: largest standard deviation of a Gaussian blur along each axis, as of a softer kernel or thicker slices.
        noise_hu: largest standard deviation of Gaussian noise.
    """

    probability: float = 0.5
    rotation_deg: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift_mm: float = 0.0
    blur_mm: float = 0.0
    noise_hu: float = 0.0

    @property
    def geometry(self) -> bool:
        """Whether voxels may move."""
        return max(self.rotation_deg, self.shear, self.scale, self.shift_mm) > 0

    @property
    def active(self) -> bool:
        """Whether anything may change."""
        return self.geometry or max(self.blur_mm, self.noise_hu) > 0


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
