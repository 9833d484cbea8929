"""Coordinates of one chest, in which every part of the anatomy is placed, on the coarse grid of some slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctxai.phantom.anatomy.shapes import CoarseGrid
from ctxai.phantom.anatomy.thorax import Thorax
from ctxai.phantom.nodule.texture import Texture


@dataclass(frozen=True)
class Layer:
    """One shape to paint, or what two shapes share.

    Attributes:
        distance: signed distances, mm, [slice, coarse row, coarse column].
        value: Hounsfield units: a number, or an array like ``distance``.
        softness_mm: width of the edge.
        also: distances of the second shape.
    """

    distance: np.ndarray
    value: np.ndarray | float
    softness_mm: float = 0.9
    also: np.ndarray | None = None


@dataclass(frozen=True)
class Habitus:
    """Differences between bodies besides the thorax: mm, Hounsfield units, and yes or no.

    Attributes:
        artery_hu, vein_hu: blood, high after contrast medium.
        lung_hu: aerated lung in the middle of the chest.
    """

    fat_mm: float
    muscle: float
    breasts: bool
    artery_hu: float
    vein_hu: float
    lung_hu: float
    emphysema: float
    bone: float


def draw_habitus(rng: np.random.Generator, contrast: bool) -> Habitus:
    """One body at random; ``contrast`` is whether contrast medium was given."""
    blood = 42 + rng.normal(0, 4)
    return Habitus(
        fat_mm=float(np.clip(rng.gamma(4, 4.5), 6, 40)),
        muscle=float(np.clip(rng.normal(1, 0.15), 0.7, 1.3)),
        breasts=bool(rng.random() < 0.45),
        artery_hu=rng.uniform(150, 260) if contrast else blood,
        vein_hu=rng.uniform(120, 230) if contrast else blood,
        lung_hu=float(np.clip(rng.normal(-862, 18), -900, -815)),
        emphysema=float(rng.random() ** 3),
        bone=float(np.clip(rng.normal(1, 0.12), 0.75, 1.25)),
    )


class Frame:
    """Coordinates and shared distances of one chest, arrays [slice, coarse row, coarse column] in mm.

    Attributes:
        x, y, z: cage coordinates: x towards the left from the midline, y towards the back, z in LPS.
        level: 0 at the lungs' base, 1 at their apex.
        wall: distance outwards from the inside of the chest wall.
        from_spine: angle about the cage's centre, radians: 0 at the spine, pi at the sternum, on either side.
        under: distance to what lies under the diaphragm.
        between: distance to the space between the lungs.
        lung: distance to the lungs.
    """

    def __init__(self, thorax: Thorax, grid: CoarseGrid, texture: Texture) -> None:
        self.thorax, self.grid = thorax, grid
        x, y, z = grid.mesh()
        self.shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        self.z, self.level = z, thorax.level(z)
        parts = thorax.parts(x, y, z)
        self.x, self.y = (np.broadcast_to(a, self.shape) for a in (parts.x, parts.y))
        self.wall, self.under, self.between = parts.wall, parts.under, parts.between
        self.from_spine = np.arctan2(np.abs(self.x), self.y)
        self._texture = texture
        self.lung = parts.lung + 0.6 * self.noise("lung surface", 22)

    def noise(self, name: str, size_mm: float) -> np.ndarray:
        """A smooth random field of unit variance whose bumps are about ``size_mm`` wide; one for each name."""
        return self._texture.field(name, size_mm, self.grid.nodes_mm, self.grid.z_mm)
