"""Nodules whose label is tied to one trait in a known place, among others that do not count.

| trait | a nodule with the trait has | distractors, drawn without regard to the label |
|---|---|---|
| spikes | spikes on one side of its rim | a small spiked body outside, a vessel at the rim |
| core | a calcified core | a small calcified spot beside the middle, a calcified granuloma outside |
| solid_part | a solid part inside ground glass | a small solid nodule outside, a vessel at the rim |

Size, form, lobes, edge, contrast, haze and vessels are drawn without regard to the label in all of them. With and
without the trait a nodule has the same voxels everywhere else, the noise included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ctxai.errors import InputError
from ctxai.phantom.nodule.nodule import CALCIUM_HU, SOLID_HU, SPIKE_HU, Lesion, draw_shape
from ctxai.phantom.nodule.parts import share_of, spikes_of
from ctxai.phantom.nodule.shape import Shape
from ctxai.phantom.nodule.traits import TYPICAL_LOOK, Appearance
from ctxai.phantom.scanner.scanner import blur
from ctxai.phantom.splat import share_of_voxels, tubes

PLANTED_TRAITS = ("spikes", "core", "solid_part")
EVIDENCE_HU = 100.0
"""A voxel is evidence where the trait changes it by more than this, before noise."""
SIDE = 64
_SLAB = 25  # slices that are drawn where one is kept: a nodule's parts are shares of its volume
_VESSEL_HU = 30.0
_REACH = 10  # voxels on every side of a body outside


@dataclass(frozen=True, eq=False)
class PlantedNodule:
    """One nodule twice: with and without the trait; arrays (superior, posterior, left) at 1 mm.

    Attributes:
        with_trait: Hounsfield units, int16.
        without: the same without the trait.
        evidence: where the two differ by more than :data:`EVIDENCE_HU` before noise, bool.
        inside: the nodule's outline without spikes, bool.
        look: how it is drawn, apart from the trait.
        diameter_mm: of the ball of the same volume.
        roundness: shortest over longest axis.
    """

    with_trait: np.ndarray
    without: np.ndarray
    evidence: np.ndarray
    inside: np.ndarray
    look: Appearance
    diameter_mm: float
    roundness: float


def plant(trait: str, seed: int, number: int, depth: int = SIDE) -> PlantedNodule:
    """Draw nodule ``number`` of the data set (``trait``, ``seed``).

    Args:
        trait: one of :data:`PLANTED_TRAITS`.
        seed: the same seed gives the same voxels.
        number: of the nodule; every nodule has a source of randomness of its own.
        depth: slices, 1 for the one through the nodule's middle, or 64.

    Raises:
        InputError: for another trait or depth.
    """
    if trait not in PLANTED_TRAITS:
        raise InputError(f"trait {trait!r}: expected one of {', '.join(PLANTED_TRAITS)}")
    if depth not in (1, SIDE):
        raise InputError(f"depth {depth}: expected 1, a single slice, or {SIDE}, a cube")
    keys = np.random.SeedSequence([seed, PLANTED_TRAITS.index(trait), number]).spawn(6)
    form, looks, drawing, planting, around, scan = (np.random.default_rng(key) for key in keys)
    thick = SIDE if depth == SIDE else _SLAB
    shape, roundness = _outline((thick, SIDE, SIDE), form, trait)
    look = _look(trait, looks)
    lung_hu = float(scan.normal(-860, 20))
    plain = draw_shape(shape, look, lung_hu, drawing)
    planted = _with_trait(trait, plain, shape, planting)
    slices = np.arange((thick - depth) // 2, (thick + depth) // 2)
    background = _surroundings(trait, shape, lung_hu, slices, around)
    clean = [_blurred(_painted(background, lesion, slices)) for lesion in (planted, plain)]
    noise = _scanner_noise(background.shape, scan)
    with_trait, without = (np.rint(np.clip(image + noise, -1024, 3071)).astype(np.int16) for image in clean)
    evidence = np.abs(clean[0] - clean[1]) > EVIDENCE_HU
    return PlantedNodule(with_trait, without, evidence, shape.distance[slices] < 0, look, 2 * shape.radius, roundness)


def _outline(box: tuple[int, int, int], rng: np.random.Generator, trait: str) -> tuple[Shape, float]:
    """A turned ellipsoid about the middle of the box."""
    radius = rng.uniform(6.0, 9.0) if trait == "solid_part" else rng.uniform(4.5, 7.5)
    axes = rng.uniform(0.8, 1.25, 3)
    axes *= radius / axes.prod() ** (1 / 3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    points = np.indices(box).astype(float) - (np.array(box)[:, None, None, None] - 1) / 2
    turned = np.tensordot(turn, points, axes=1) / axes[:, None, None, None]
    scaled = np.sqrt((turned**2).sum(axis=0)) + 1e-6
    slope = np.sqrt(((turned / axes[:, None, None, None]) ** 2).sum(axis=0)) + 1e-6
    return Shape.of_distance((0, 0, 0), (1.0, 1.0, 1.0), scaled * (scaled - 1) / slope), float(axes.min() / axes.max())


def _look(trait: str, rng: np.random.Generator) -> Appearance:
    """Traits that do not count, drawn without regard to the label."""
    look = replace(
        TYPICAL_LOOK,
        solid=float(rng.uniform(0.6, 1.0)),
        fade=float(rng.uniform(0, 0.6)),
        notch=float(rng.choice([0.0, rng.uniform(0.1, 0.4)])),
        contrast=float(rng.uniform(0.85, 1.0)),
        clutter=float(rng.uniform(0, 0.5)),
    )
    spot = float(rng.choice([0.0, rng.uniform(0.02, 0.06)]))
    round_spikes = float(rng.choice([0.0, rng.uniform(0.15, 0.35)]))
    if trait == "spikes":
        return replace(look, calcified=spot, pattern="not central")
    if trait == "core":
        return replace(look, calcified=spot, pattern="not central", spikes=round_spikes)
    return replace(look, solid=0.0, spikes=round_spikes)


def _with_trait(trait: str, plain: Lesion, shape: Shape, rng: np.random.Generator) -> Lesion:
    """The nodule with the trait, at a place that the rng chooses."""
    share, hu = plain.share, plain.hu
    turn = rng.uniform(0, 2 * np.pi)
    if trait == "spikes":
        angles = turn + np.deg2rad(rng.permutation(np.linspace(-50, 50, 8)) + rng.normal(0, 4, 8))
        towards = np.column_stack([np.cos(angles), np.sin(angles), rng.normal(0, 0.1, 8)])
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        spikes = spikes_of(shape, rng.uniform(0.6, 0.9), rng, towards)
        assert spikes is not None
        hu = np.where(spikes > share, SPIKE_HU, hu)
        share = np.maximum(share, spikes)
    elif trait == "core":
        core = share_of(-shape.from_centre, shape.distance < 0, rng.uniform(0.08, 0.2))
        hu = hu + core * (CALCIUM_HU - hu)
    else:
        away = rng.uniform(0.15, 0.35) * shape.radius
        x, y, z = shape.direction * shape.from_centre
        off = np.sqrt((x - away * np.cos(turn)) ** 2 + (y - away * np.sin(turn)) ** 2 + z**2)
        part = np.clip(0.5 - (off - rng.uniform(0.3, 0.45) * shape.radius) / 1.2, 0, 1)
        hu = hu + part * (SOLID_HU - hu)
    return Lesion(plain.start, share.astype(np.float32), hu.astype(np.float32), plain.haze)


def _surroundings(trait: str, shape: Shape, lung_hu: float, slices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lung with vessels, and in half of them a body outside that resembles the trait; HU (slice, row, column)."""
    middle = shape.centre[::-1]
    texture = gaussian_filter(rng.standard_normal((len(slices), SIDE, SIDE)), 3.0)
    image = lung_hu + 22 * texture / texture.std()
    at_rim = rng.random() < 0.5
    for vessel in range(int(rng.integers(3, 6))):
        angle, run = rng.uniform(0, 2 * np.pi, 2)
        outwards = np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.3, 0.3)])
        if vessel == 0 and at_rim:  # along the rim, not through the nodule
            gap, along = shape.radius + 0.5, np.array([-np.sin(angle), np.cos(angle), rng.normal(0, 0.3)])
        else:
            gap, along = rng.uniform(shape.radius + 4, 30), np.array([np.cos(run), np.sin(run), rng.normal(0, 0.5)])
        along /= np.linalg.norm(along)
        image = _with_tube(image, middle + gap * outwards, along, rng.uniform(0.7, 1.6), slices)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        away = (shape.radius + rng.uniform(6.5, 8)) * np.array([np.cos(angle), np.sin(angle), 0])
        image = _painted(image, _stranger(trait, middle + away, lung_hu, rng), slices)
    return image


def _with_tube(
    image: np.ndarray, passes: np.ndarray, along: np.ndarray, radius: float, slices: np.ndarray
) -> np.ndarray:
    steps = np.arange(-60, 60, 0.5)
    cloud = tubes(
        passes + steps[:, None] * along,
        np.repeat(along[None], len(steps), axis=0),
        np.full(len(steps), radius),
        np.full(len(steps), 0.5),
    )
    share = share_of_voxels(cloud, image.shape, 1.0, slices.astype(float), 1.0)
    return image + share * np.maximum(_VESSEL_HU - image, 0)


def _stranger(trait: str, place: np.ndarray, lung_hu: float, rng: np.random.Generator) -> Lesion:
    """A body outside the nodule, about ``place`` [x, y, z], that looks like the trait and does not count."""
    start = np.rint(place[::-1]).astype(int) - _REACH
    box = (2 * _REACH + 1,) * 3
    z, y, x = np.indices(box) + (start - place[::-1])[:, None, None, None]
    distance = np.sqrt(x**2 + y**2 + z**2) - rng.uniform(1.6, 2.4)
    shape = Shape.of_distance((int(start[0]), int(start[1]), int(start[2])), (1.0, 1.0, 1.0), distance)
    if trait == "spikes":
        look = replace(TYPICAL_LOOK, spikes=0.35)
    elif trait == "core":
        look = replace(TYPICAL_LOOK, calcified=0.9, pattern="solid")
    else:
        look = TYPICAL_LOOK
    return draw_shape(shape, look, lung_hu, rng)


def _painted(background: np.ndarray, lesion: Lesion, slices: np.ndarray) -> np.ndarray:
    image = background.astype(np.float32)
    for plane, index in zip(image, slices, strict=True):
        lesion.paint(plane, int(index))
    return image


def _blurred(image: np.ndarray) -> np.ndarray:
    return np.stack([blur(plane, 0.1) for plane in image])


def _scanner_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    field = gaussian_filter(rng.standard_normal(shape), 0.6)
    return rng.uniform(10, 30) * field / field.std()
