from dataclasses import replace

import numpy as np
import pytest
from made_up_lidc import made_up_nodule, made_up_scan

from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import LidcDatabase
from ctxai.phantom.nodule.nodule import draw_lesion
from ctxai.phantom.nodule.traits import appearance

SCAN = made_up_scan(np.arange(0, 80, 1.25))
Z = SCAN.slice_z_mm
LUNG_HU = -860.0


def nodule(**options):
    return made_up_nodule(SCAN, np.arange(35, 45.1, 1.25), **options)


def draw(found, z_mm=Z, **changes):
    """The nodule painted into even lung, and the readers' consensus in the same box."""
    look = replace(appearance(found), **changes)
    lesion = draw_lesion(found, look, z_mm, 512, LUNG_HU, np.random.default_rng(0))
    local = replace(lesion, start=(0, 0, 0))
    hu = np.full(lesion.share.shape, LUNG_HU, np.float32)
    for k, plane in enumerate(hu):
        local.paint(plane, k)
    masks = reader_masks(found, z_mm)
    mask = np.zeros(hu.shape, bool)
    shape = masks.masks.shape[1:]
    mask[tuple(slice(a - b, a - b + n) for a, b, n in zip(masks.start, lesion.start, shape, strict=True))] = (
        masks.consensus()
    )
    return hu, mask


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_smooth_solid_nodule_fills_its_outline():
    hu, mask = draw(nodule())
    assert dice(hu > -400, mask) > 0.9
    assert abs(np.median(hu[mask]) - 45) < 30


@pytest.mark.parametrize("patient", ["LIDC-IDRI-0001", "LIDC-IDRI-0003", "LIDC-IDRI-0013"])
def test_real_outlines_are_filled_where_the_readers_agree(patient):
    database = LidcDatabase()
    scan = next(s for s in database.scans if s.patient_id == patient)
    for found in database.nodules(scan):
        if len(found.readings) < 3 or reader_masks(found).consensus().sum() < 60:
            continue
        hu, mask = draw(found, scan.slice_z_mm, solid=1, fade=0, spikes=0, notch=0, calcified=0, clutter=0)
        assert dice(hu > -400, mask) > 0.8


def test_ground_glass_is_dimmer_than_soft_tissue_and_brighter_than_lung():
    hu, mask = draw(nodule(texture=1))
    assert LUNG_HU + 120 < np.median(hu[mask]) < -400


def test_a_fat_nodule_is_fat_and_a_cavity_holds_air():
    fat, mask = draw(nodule(internalStructure=3))
    assert -140 < np.median(fat[mask]) < -40
    air, mask = draw(nodule(internalStructure=4))
    assert (air[mask] < -700).mean() > 0.1


@pytest.mark.parametrize("pattern", ["solid", "central", "laminated", "popcorn", "not central"])
def test_the_calcified_share_is_the_share_asked_for(pattern):
    hu, mask = draw(nodule(), calcified=0.4, pattern=pattern)
    assert (hu[mask] > 250).mean() == pytest.approx(0.4, abs=0.15)


def test_a_central_calcification_lies_in_the_middle_and_an_eccentric_one_does_not():
    def offset(pattern: str) -> float:
        hu, mask = draw(nodule(), calcified=0.15, pattern=pattern)
        return float(np.linalg.norm((np.argwhere(mask & (hu > 250)).mean(axis=0) - np.argwhere(mask).mean(axis=0))[1:]))

    assert offset("central") < 1 < offset("not central")


def test_spikes_reach_beyond_the_outline():
    plain, mask = draw(nodule())
    spiked, _ = draw(nodule(), spikes=1.0)
    assert (spiked > -700).sum() > (plain > -700).sum() + 100
    np.testing.assert_array_equal(spiked[mask & (plain > 0)] > -200, True)


def test_a_wide_margin_fades():
    def steepest(fade: float) -> float:
        hu, _ = draw(nodule(), fade=fade)
        return float(np.abs(np.diff(hu[hu.shape[0] // 2], axis=1)).max())

    assert steepest(0.0) > 1.5 * steepest(1.0)


def test_denser_tissue_under_a_nodule_stays():
    found = nodule(texture=1)
    lesion = draw_lesion(found, appearance(found), Z, 512, LUNG_HU, np.random.default_rng(0))
    image = np.full((512, 512), 60.0, np.float32)
    lesion.paint(image, 32)
    np.testing.assert_allclose(image, 60)


def test_a_nodule_outside_the_slices_is_not_drawn():
    found = nodule()
    assert draw_lesion(found, appearance(found), Z[:12], 512, LUNG_HU, np.random.default_rng(0)) is None


@pytest.mark.parametrize("centre", [(4, 5), (508, 506)])
def test_a_nodule_at_the_image_s_corner_is_cut_off(centre):
    found = nodule(centre=centre, radius=3.0)
    lesion = draw_lesion(found, appearance(found), Z, 512, LUNG_HU, np.random.default_rng(0))
    image = np.full((512, 512), LUNG_HU, np.float32)
    lesion.paint(image, 32)
    assert image[centre] > -200
