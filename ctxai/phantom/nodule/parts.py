"""Parts of a drawn nodule: its edge, solid part, lobes, calcification, spikes and haze."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ctxai.phantom.nodule.shape import Shape
from ctxai.phantom.splat import share_of_voxels, tubes


def noise(shape: Shape, size_mm: float, rng: np.random.Generator) -> np.ndarray:
    """A random field of unit variance over the shape's box, with bumps about ``size_mm`` wide."""
    field = rng.standard_normal(shape.distance.shape)
    field = gaussian_filter(field, [0.4 * size_mm / s for s in shape.spacing])
    return field / field.std()


def edge(distance: np.ndarray, fade_mm: float, pixel: float) -> np.ndarray:
    """Share of a voxel inside, its edge fading over ``fade_mm`` and never sharper than a voxel."""
    width = np.hypot(0.28 * pixel, 0.3 * fade_mm)
    return 1 / (1 + np.exp(np.clip((distance + 0.15 * fade_mm) / width, -30, 30)))


def share_of(score: np.ndarray, inside: np.ndarray, share: float) -> np.ndarray:
    """0..1: the share ``share`` of the inside where ``score`` is highest, with a soft edge; beyond it, as by score."""
    if share <= 0:
        return np.zeros_like(score)
    if share >= 1:
        return np.ones_like(score)
    values = score[inside] if inside.any() else score.ravel()
    limit = np.quantile(values, 1 - share)
    soft = 0.12 * (values.max() - values.min()) + 1e-6
    return np.clip(0.5 + (score - limit) / soft, 0, 1)


def directions_about(count: int, rng: np.random.Generator, flatten: float = 1.0) -> np.ndarray:
    """Random but well spread unit vectors (direction, [x, y, z]); ``flatten`` below 1 turns them into the plane."""
    turn = np.arange(count) + 0.5
    z = 1 - 2 * turn / count
    angle = turn * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - z**2)
    vectors = np.column_stack([flat * np.cos(angle), flat * np.sin(angle), flatten * z])
    vectors += rng.normal(0, 0.25, vectors.shape) * [1, 1, flatten]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def notches(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """0 over the middle of each lobe, rising to 1 in the grooves between them; nothing near the nodule's middle."""
    lobes = 9
    nearest = np.tensordot(directions_about(lobes, rng, 0.7), shape.direction, axes=1)
    nearest.partition(lobes - 2, axis=0)
    groove = 1 - np.clip((nearest[-1] - nearest[-2]) / 0.3, 0, 1)
    return (groove**2 - 0.3) * np.clip((shape.from_centre / shape.radius - 0.3) / 0.4, 0, 1)


def calcium_score(shape: Shape, distance: np.ndarray, pattern: str, rng: np.random.Generator) -> np.ndarray:
    """Score whose highest values calcify first."""
    if pattern == "popcorn":
        return noise(shape, 0.9 * shape.radius, rng) - 0.4 * shape.from_centre / shape.radius
    if pattern == "laminated":
        return np.cos(2 * np.pi * distance / max(0.6 * shape.radius, 1.8))
    if pattern == "not central":
        return -shape.off_centre
    if pattern == "central":
        return -shape.from_centre
    return -distance


def spikes_of(
    shape: Shape, amount: float, rng: np.random.Generator, directions: np.ndarray | None = None
) -> np.ndarray | None:
    """Share of each voxel filled by spikes that run outwards from the surface and taper; None without spikes.

    Args:
        shape: of the nodule.
        amount: 0..1, gives the length and width of the spikes, and their number.
        rng: source of randomness.
        directions: of the spikes, unit vectors (spike, [x, y, z]); without it, all round, mostly in the plane.
    """
    count = round(30 * amount) if directions is None else len(directions)
    if count == 0:
        return None
    if directions is None:
        directions = directions_about(count, rng, 0.55)
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


def haze_about(shape: Shape, distance: np.ndarray, clutter: float, rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units of a patchy haze about the nodule: what makes a subtle one hard to see."""
    reach = np.exp(-((np.maximum(distance, 0) / 6.5) ** 2))
    patches = np.clip(0.55 * noise(shape, 5.0, rng) + 0.75, 0, 2)
    return 190 * clutter * reach * patches
