"""One nodule, drawn from its readers' outlines and as they rated it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import Nodule
from ctxai.lidc.phantom.splat import share_of_voxels, tubes
from ctxai.lidc.phantom.traits import Appearance

SOLID_HU, GROUND_GLASS_HU, CALCIUM_HU = 45.0, -600.0, 620.0
_CONTENT_HU = {"soft": SOLID_HU, "fluid": 8.0, "fat": -85.0, "air": SOLID_HU}
_PAD_MM = 13.0


@dataclass(frozen=True)
class Lesion:
    """What one nodule adds to the image, in the box of voxels at ``start`` [slice, row, column].

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

    The median of the outlines' signed distances over the readers gives the shape, at their majority's outline; lobes,
    edge, solid part and calcification are functions of that distance and of the direction from the middle.
    """
    spacing = float(np.median(np.diff(z_mm)))
    pixel = nodule.scan.pixel_spacing_mm
    shape = _Shape.of(nodule, z_mm, spacing, pixel, rows)
    if shape is None:
        return None
    distance = shape.distance
    if look.notch > 0:
        distance = distance + look.notch * min(max(shape.radius, 3.5), 10) * _notches(shape, rng)
    rough = _noise(shape, 3.0, rng)
    share = _edge(distance, look.fade * min(shape.radius, 6.0), pixel)
    core = np.clip(-distance / shape.radius, 0, 1) + 0.18 * rough
    inside = distance < 0
    solid = _share_of(core, inside, look.solid)
    ground_glass = GROUND_GLASS_HU + 35 * rough
    hu = ground_glass + solid * (_CONTENT_HU[look.content] + 14 * rough - ground_glass)
    hu = lung_hu + look.contrast * (hu - lung_hu)
    if look.content == "air":
        hole = _share_of(-np.abs(distance + 0.45 * shape.radius) - shape.off_centre, inside, 0.25)
        hu += hole * (-960 - hu)
    if look.calcified > 0:
        calcium = _share_of(_calcium(shape, distance, look.pattern, rng), inside, look.calcified)
        hu += calcium * (CALCIUM_HU + 60 * rough - hu)
    spikes = _spikes(shape, look.spikes, rng)
    if spikes is not None:
        hu = np.where(spikes > share, lung_hu + look.contrast * (10 - lung_hu), hu)
        share = np.maximum(share, spikes)
    haze = _haze(shape, distance, look.clutter, rng)
    return Lesion(shape.start, share.astype(np.float32), hu.astype(np.float32), haze.astype(np.float32))


@dataclass(frozen=True)
class _Shape:
    """Signed distance to the readers' mean outline on a padded box, and directions from its middle.

    Arrays are [slice, row, column]; ``direction`` has (x, y, z) first.
    """

    start: tuple[int, int, int]
    spacing: tuple[float, float, float]
    distance: np.ndarray
    direction: np.ndarray
    from_centre: np.ndarray
    radius: float
    centre: np.ndarray

    @classmethod
    def of(cls, nodule: Nodule, z_mm: np.ndarray, spacing: float, pixel: float, rows: int) -> _Shape | None:
        z = [contour.z_mm for reading in nodule.readings for contour in reading.contours]
        if max(z) < z_mm[0] - 0.5 * spacing or min(z) > z_mm[-1] + 0.5 * spacing:
            return None
        masks = reader_masks(nodule, z_mm)
        pad = np.array([round(_PAD_MM / spacing), *[round(_PAD_MM / pixel)] * 2])
        low = np.array(masks.start) - pad
        high = np.array(masks.start) + masks.masks.shape[1:] + pad
        size = (spacing, pixel, pixel)
        distances = [_signed_distance(np.pad(mask, [(p, p) for p in pad]), size) for mask in masks.masks if mask.any()]
        if not distances:
            distances = [_signed_distance(np.pad(masks.masks.any(0) | True, [(p, p) for p in pad]), size)]
        distance = gaussian_filter(np.median(distances, axis=0), (0, 0.6, 0.6))
        inside = distance < 0
        if not inside.any():
            inside = distance <= distance.min()
        centre = np.argwhere(inside).mean(axis=0)
        radius = max(1.2, (3 * inside.sum() * spacing * pixel**2 / (4 * np.pi)) ** (1 / 3))
        offset = np.indices(distance.shape) - centre[:, None, None, None]
        offset = offset[::-1] * np.array(size)[::-1, None, None, None]
        from_centre = np.sqrt((offset**2).sum(axis=0)) + 1e-6
        first, last = np.maximum(-low, 0), distance.shape - np.maximum(high - [len(z_mm), rows, rows], 0)
        keep = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        direction = offset / from_centre
        return cls(
            tuple(int(v) for v in low + first),
            size,
            distance[keep],
            direction[(slice(None), *keep)],
            from_centre[keep],
            radius,
            centre - first,
        )

    @property
    def off_centre(self) -> np.ndarray:
        """Distance from a point beside the middle, in radii."""
        x, y, _ = self.direction * self.from_centre / self.radius
        return np.hypot(x - 0.2, y + 0.15)


def _signed_distance(mask: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    half = 0.5 * size[1]
    return np.where(
        mask, half - distance_transform_edt(mask, sampling=size), distance_transform_edt(~mask, sampling=size) - half
    )


def _noise(shape: _Shape, size_mm: float, rng: np.random.Generator) -> np.ndarray:
    field = rng.standard_normal(shape.distance.shape)
    field = gaussian_filter(field, [0.4 * size_mm / s for s in shape.spacing])
    return field / field.std()


def _edge(distance: np.ndarray, fade_mm: float, pixel: float) -> np.ndarray:
    """Share of a voxel inside, its edge fading over ``fade_mm`` and never sharper than a voxel."""
    width = np.hypot(0.28 * pixel, 0.3 * fade_mm)
    return 1 / (1 + np.exp(np.clip((distance + 0.15 * fade_mm) / width, -30, 30)))


def _share_of(score: np.ndarray, inside: np.ndarray, share: float) -> np.ndarray:
    """0..1: the share ``share`` of the inside where ``score`` is highest, with a soft edge; beyond it, as by score."""
    if share <= 0:
        return np.zeros_like(score)
    if share >= 1:
        return np.ones_like(score)
    values = score[inside] if inside.any() else score.ravel()
    limit = np.quantile(values, 1 - share)
    soft = 0.12 * (values.max() - values.min()) + 1e-6
    return np.clip(0.5 + (score - limit) / soft, 0, 1)


def _directions(count: int, rng: np.random.Generator, flatten: float = 1.0) -> np.ndarray:
    """Random but well spread unit vectors (direction, [x, y, z]); ``flatten`` below 1 turns them into the plane."""
    turn = np.arange(count) + 0.5
    z = 1 - 2 * turn / count
    angle = turn * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - z**2)
    vectors = np.column_stack([flat * np.cos(angle), flat * np.sin(angle), flatten * z])
    vectors += rng.normal(0, 0.25, vectors.shape) * [1, 1, flatten]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _notches(shape: _Shape, rng: np.random.Generator) -> np.ndarray:
    """0 over the middle of each lobe, rising to 1 in the grooves between them; nothing near the nodule's middle."""
    lobes = 9
    nearest = np.tensordot(_directions(lobes, rng, 0.7), shape.direction, axes=1)
    nearest.partition(lobes - 2, axis=0)
    groove = 1 - np.clip((nearest[-1] - nearest[-2]) / 0.3, 0, 1)
    return (groove**2 - 0.3) * np.clip((shape.from_centre / shape.radius - 0.3) / 0.4, 0, 1)


def _calcium(shape: _Shape, distance: np.ndarray, pattern: str, rng: np.random.Generator) -> np.ndarray:
    """Score whose highest values calcify first."""
    if pattern == "popcorn":
        return _noise(shape, 0.9 * shape.radius, rng) - 0.4 * shape.from_centre / shape.radius
    if pattern == "laminated":
        return np.cos(2 * np.pi * distance / max(0.6 * shape.radius, 1.8))
    if pattern == "not central":
        return -shape.off_centre
    if pattern == "central":
        return -shape.from_centre
    return -distance


def _spikes(shape: _Shape, amount: float, rng: np.random.Generator) -> np.ndarray | None:
    """Share of each voxel filled by spikes that run outwards from the surface and taper; None without spikes."""
    count = round(30 * amount)
    if count == 0:
        return None
    directions = _directions(count, rng, 0.55)
    steps = np.arange(0, 3.0 * shape.radius + 8, 0.4)
    index = shape.centre[:, None, None] + (directions.T[::-1, :, None] * steps) / np.array(shape.spacing)[:, None, None]
    inside = map_coordinates(shape.distance, index, order=1, mode="nearest") < 0
    surface = steps[inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)] * inside.any(axis=1)
    length = (2.0 + 8.0 * amount) * rng.uniform(0.4, 1.3, count)
    along = np.linspace(-0.25, 1, 40)
    centre = shape.centre[::-1] * np.array(shape.spacing)[::-1]
    distance = surface[:, None] + along * length[:, None]
    bend = rng.normal(0, 0.12, (count, 1, 3)) * (along[None, :, None] * length[:, None, None])
    points = centre + directions[:, None, :] * distance[:, :, None] + bend * np.clip(along, 0, 1)[None, :, None]
    radius = (0.35 + 0.35 * amount + 0.25) * (1 - 0.75 * np.clip(along, 0, 1))[None, :] * np.ones((count, 1))
    step = np.repeat(length * 1.25 / len(along), len(along))
    tangent = np.repeat(directions, len(along), axis=0)
    cloud = tubes(points.reshape(-1, 3), tangent, radius.ravel(), step)
    z = np.arange(shape.distance.shape[0]) * shape.spacing[0]
    return share_of_voxels(cloud, shape.distance.shape, shape.spacing[1], z, shape.spacing[0])


def _haze(shape: _Shape, distance: np.ndarray, clutter: float, rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units of a patchy haze about the nodule: what makes a subtle one hard to see."""
    reach = np.exp(-((np.maximum(distance, 0) / 6.5) ** 2))
    patches = np.clip(0.55 * _noise(shape, 5.0, rng) + 0.75, 0, 2)
    return 190 * clutter * reach * patches
