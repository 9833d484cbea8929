"""Every trait that the phantom draws can be read back from its voxels, by measurements that see no rating."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from nodule_measurements import NoduleVoxels, axis_ratio
from scipy.stats import spearmanr

from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import LidcDatabase, Nodule
from ctxai.phantom.nodule.nodule import draw_lesion
from ctxai.phantom.nodule.traits import TRAITS, appearance
from ctxai.phantom.scanner.render import INTERCEPT, ROWS, Chest
from ctxai.phantom.scanner.scanner import blur

LUNG_HU, NOISE_HU = -860.0, 20.0
BINS = np.arange(0.75, 6.5, 0.5)


@pytest.fixture(scope="module")
def candidates() -> list[Nodule]:
    """Nodules of at least three readers, large enough to have a shape, on thin slices."""
    database = LidcDatabase()
    scans = [s for s in database.scans if s.slice_spacing_mm <= 2.5]
    found = (n for n in database.all_nodules(scans) if len(n.readings) >= 3 and not n.ambiguous)
    return [n for n in found if 6 <= n.diameter_mm <= 25 and reader_masks(n).consensus().sum() >= 12]


def mean(nodule: Nodule, trait: str) -> float:
    return float(np.mean(nodule.ratings(trait)))


def spread(nodules: list[Nodule], trait: str, per_bin: int = 9) -> list[Nodule]:
    """At most ``per_bin`` nodules of each half step of the mean rating: LIDC's own distribution is very skewed.

    Lobes are looked for in nodules that are mostly solid: ground glass has no sharp outline to measure.
    """
    if trait == "lobulation":
        nodules = [nodule for nodule in nodules if mean(nodule, "texture") >= 4]
    order = np.random.default_rng(7).permutation(len(nodules))
    chosen: dict[int, list[Nodule]] = {}
    for i in order:
        group = chosen.setdefault(int(np.digitize(mean(nodules[i], trait), BINS)), [])
        if len(group) < per_bin:
            group.append(nodules[i])
    return [nodule for group in chosen.values() for nodule in group]


@pytest.fixture(scope="module")
def pool(candidates: list[Nodule]) -> list[Nodule]:
    """Nodules among which every trait is spread out."""
    chosen = {n.nodule_id: n for trait in TRAITS for n in spread(candidates, trait)}
    return list(chosen.values())


def window(nodule: Nodule) -> np.ndarray:
    z = [contour.z_mm for reading in nodule.readings for contour in reading.contours]
    positions = nodule.scan.slice_z_mm
    return positions[(positions >= min(z) - 13) & (positions <= max(z) + 13)]


def in_plain_lung(nodule: Nodule) -> NoduleVoxels:
    """The nodule alone, in even lung with white noise."""
    rng = np.random.default_rng(crc32(nodule.nodule_id.encode()))
    z_mm = window(nodule)
    lesion = draw_lesion(nodule, appearance(nodule), z_mm, ROWS, LUNG_HU, rng)
    local = replace(lesion, start=(0, 0, 0))
    hu = np.full(lesion.share.shape, LUNG_HU, dtype=np.float32)
    for k, plane in enumerate(hu):
        local.paint(plane, k)
        hu[k] = blur(plane, 0.15)
    return voxels(nodule, hu + rng.normal(0, NOISE_HU, hu.shape), lesion.start, z_mm)


def in_the_chest(nodule: Nodule) -> NoduleVoxels:
    """The nodule as the phantom's series has it, with vessels, airways and chest wall about it."""
    z_mm = window(nodule)
    chest = Chest(nodule.scan, (nodule,), z_mm, seed=0)
    start, shape = chest.lesions[0].start, chest.lesions[0].share.shape
    box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    hu = np.stack([stored.astype(float) + INTERCEPT for stored in chest.slices()])
    return voxels(nodule, hu[box], start, z_mm)


def voxels(nodule: Nodule, hu: np.ndarray, start: tuple[int, int, int], z_mm: np.ndarray) -> NoduleVoxels:
    masks = reader_masks(nodule, z_mm)
    consensus = masks.consensus()
    mask = np.zeros(hu.shape, dtype=bool)
    mask[tuple(slice(a - b, a - b + n) for a, b, n in zip(masks.start, start, consensus.shape, strict=True))] = (
        consensus
    )
    spacing = (nodule.scan.slice_spacing_mm, nodule.scan.pixel_spacing_mm, nodule.scan.pixel_spacing_mm)
    return NoduleVoxels(hu, mask, spacing)


@pytest.fixture(scope="module")
def measured(pool: list[Nodule]) -> dict[str, NoduleVoxels]:
    return {nodule.nodule_id: in_plain_lung(nodule) for nodule in pool}


def correlation(nodules: list[Nodule], seen: Callable[[Nodule], float], drawn: Callable[[Nodule], float]) -> float:
    return float(spearmanr([seen(n) for n in nodules], [drawn(n) for n in nodules]).statistic)


@pytest.mark.parametrize("trait", TRAITS)
def test_a_measurement_recovers_the_rating_that_drew_the_trait(trait, candidates, measured):
    sample = spread(candidates, trait)
    assert len(sample) >= 60
    assert correlation(sample, lambda n: getattr(measured[n.nodule_id], trait)(), lambda n: mean(n, trait)) >= 0.7


def test_the_measured_diameter_is_the_readers_diameter(pool, measured):
    assert correlation(pool, lambda n: measured[n.nodule_id].diameter(), lambda n: n.diameter_mm) >= 0.85


def test_the_measured_roundness_is_that_of_the_outlines(pool, measured):
    def of_outlines(nodule: Nodule) -> float:
        mask = reader_masks(nodule).consensus()
        return axis_ratio(np.argwhere(mask[mask.sum(axis=(1, 2)).argmax()]))

    smooth = [n for n in pool if mean(n, "lobulation") < 2 and mean(n, "texture") > 4]
    assert correlation(smooth, lambda n: measured[n.nodule_id].sphericity(), of_outlines) >= 0.7


def test_texture_margin_and_subtlety_are_told_apart(pool, measured):
    """Among solid nodules alone, the texture's measurement no longer explains the other two; their own ones do."""
    solid = [n for n in pool if mean(n, "texture") > 4.6]
    for trait in ("margin", "subtlety"):
        own = correlation(solid, lambda n, t=trait: getattr(measured[n.nodule_id], t)(), lambda n, t=trait: mean(n, t))
        other = correlation(solid, lambda n: measured[n.nodule_id].texture(), lambda n, t=trait: mean(n, t))
        assert own >= 0.5
        assert own > other


@pytest.mark.soak
@pytest.mark.parametrize("trait", TRAITS)
def test_a_measurement_recovers_the_trait_in_the_whole_chest(trait, candidates, chests):
    sample = spread(candidates, trait)
    assert (
        correlation(sample, lambda n: getattr(chests[n.nodule_id], trait)(), lambda n: mean(n, trait)) >= 0.65
    )  # vessels and chest wall distract


@pytest.fixture(scope="module")
def chests(pool: list[Nodule]) -> dict[str, NoduleVoxels]:
    return {nodule.nodule_id: in_the_chest(nodule) for nodule in pool}
