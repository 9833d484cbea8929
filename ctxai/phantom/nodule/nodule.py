"""One nodule, drawn from its readers' outlines and as they rated it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctxai.lidc.database import Nodule
from ctxai.phantom.nodule.parts import calcium_score, edge, haze_about, noise, notches, share_of, spikes_of
from ctxai.phantom.nodule.shape import Shape
from ctxai.phantom.nodule.traits import Appearance

SOLID_HU, GROUND_GLASS_HU, CALCIUM_HU, SPIKE_HU = 45.0, -600.0, 620.0, 10.0
_CONTENT_HU = {"soft": SOLID_HU, "fluid": 8.0, "fat": -85.0, "air": SOLID_HU}


@dataclass(frozen=True)
class Lesion:
    """Contribution of one nodule to the image, in the box of voxels at ``start`` [slice, row, column].

    Attributes:
        share: how much of each voxel the nodule fills, 0..1.
        hu: its Hounsfield units there.
        haze: Hounsfield units added to the lung about it.
    """

    start: tuple[int, int, int]
    share: np.ndarray
    hu: np.ndarray
    haze: np.ndarray

    def paint(self, image: np.ndarray, index: int) -> None:
        """Paint slice ``index`` of the series into ``image`` (row, column), in place; denser tissue stays as it is."""
        k = index - self.start[0]
        if not 0 <= k < len(self.share):
            return
        rows = slice(self.start[1], self.start[1] + self.share.shape[1])
        columns = slice(self.start[2], self.start[2] + self.share.shape[2])
        target = image[rows, columns]
        target += np.where(target < -400, self.haze[k], 0)
        change = self.share[k] * (self.hu[k] - target)
        target += np.where(self.hu[k] > -700, np.maximum(change, 0), change)


def draw_lesion(
    nodule: Nodule, look: Appearance, z_mm: np.ndarray, rows: int, lung_hu: float, rng: np.random.Generator
) -> Lesion | None:
    """Draw ``nodule`` on the slices ``z_mm`` (ascending, evenly spaced); None where they do not reach it.

    The median of the outlines' signed distances over the readers gives the shape, at their majority's outline.
    """
    spacing = float(np.median(np.diff(z_mm)))
    shape = Shape.of_nodule(nodule, z_mm, spacing, nodule.scan.pixel_spacing_mm, rows)
    return None if shape is None else draw_shape(shape, look, lung_hu, rng)


def draw_shape(shape: Shape, look: Appearance, lung_hu: float, rng: np.random.Generator) -> Lesion:
    """Draw a nodule of this shape in lung of ``lung_hu`` Hounsfield units.

    Lobes, edge, solid part and calcification are functions of the distance to the outline and of the direction from the
    middle.
    """
    distance = shape.distance
    if look.notch > 0:
        distance = distance + look.notch * min(max(shape.radius, 3.5), 10) * notches(shape, rng)
    rough = noise(shape, 3.0, rng)
    share = edge(distance, look.fade * min(shape.radius, 6.0), shape.spacing[1])
    core = np.clip(-distance / shape.radius, 0, 1) + 0.18 * rough
    inside = distance < 0
    solid = share_of(core, inside, look.solid)
    ground_glass = GROUND_GLASS_HU + 35 * rough
    hu = ground_glass + solid * (_CONTENT_HU[look.content] + 14 * rough - ground_glass)
    hu = lung_hu + look.contrast * (hu - lung_hu)
    if look.content == "air":
        hole = share_of(-np.abs(distance + 0.45 * shape.radius) - shape.off_centre, inside, 0.25)
        hu += hole * (-960 - hu)
    if look.calcified > 0:
        calcium = share_of(calcium_score(shape, distance, look.pattern, rng), inside, look.calcified)
        hu += calcium * (CALCIUM_HU + 60 * rough - hu)
    spikes = spikes_of(shape, look.spikes, rng)
    if spikes is not None:
        hu = np.where(spikes > share, lung_hu + look.contrast * (SPIKE_HU - lung_hu), hu)
        share = np.maximum(share, spikes)
    haze = haze_about(shape, distance, look.clutter, rng)
    return Lesion(shape.start, share.astype(np.float32), hu.astype(np.float32), haze.astype(np.float32))
