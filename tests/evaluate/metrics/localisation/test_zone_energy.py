"""Core, rim and surround, in millimetres."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_cases import VIEWS, mask_case

from ctxai.errors import InputError
from ctxai.evaluate.metrics.localisation.zone_energy import CoreEnergy, RimEnergy, SurroundEnergy, signed_distance

ZONES = [CoreEnergy, RimEnergy, SurroundEnergy]
SIDE = 64
HALF_MM = replace(VIEWS, field_of_view_mm=32.0, pixels=SIDE)  # 0.5 mm per pixel
ALONG = (torch.arange(SIDE) + 0.5) / 2 - 16
RADIUS = torch.hypot(ALONG[:, None], ALONG[None])  # mm from the centre
BALL = (RADIUS < 6)[None]


def zones_of(mask, views=HALF_MM, **options):
    batch = mask_case(torch.ones(1, 1, 1), mask, views=views)
    return [zone(**options).zone(batch)[0] for zone in ZONES]


def test_zones_of_a_ball_are_rings_in_millimetres():
    core, rim, surround = zones_of(BALL, rim_mm=2, surround_mm=5)
    for zone, low, high in ((core, 0, 4), (rim, 4, 8), (surround, 8, 11)):
        assert float(zone.sum()) / 4 == pytest.approx(
            np.pi * (high**2 - low**2), rel=0.12
        )  # a ring of pixels more or less
        assert (zone <= ((low - 0.5 <= RADIUS) & (high + 0.5 >= RADIUS))).all()
    assert not ((core & rim) | (rim & surround) | (core & surround)).any()
    assert BALL[0].logical_and(~core).logical_and(~rim).sum() == 0


def test_the_same_pixels_are_other_zones_when_they_are_wider():
    coarse = zones_of(BALL, replace(HALF_MM, field_of_view_mm=64.0), rim_mm=4, surround_mm=10)
    for fine, wide in zip(zones_of(BALL, rim_mm=2, surround_mm=5), coarse, strict=True):
        assert fine.equal(wide)


def test_distances_are_measured_from_between_the_pixels():
    mask = torch.zeros(1, 1, 8, dtype=torch.bool)
    mask[..., :3] = True
    expected = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert signed_distance(mask, 2.0)[0, 0].tolist() == [2 * value for value in expected]


@pytest.mark.parametrize("place", range(3))
def test_a_map_equal_to_a_zone_scores_one_there_and_nothing_elsewhere(place):
    batch = mask_case(zones_of(BALL)[place][None].double() * 7, BALL, views=HALF_MM)
    assert [zone().score(batch)[0] for zone in ZONES] == [float(other == place) for other in range(3)]


def test_a_constant_map_scores_each_zones_share_of_the_image():
    batch = mask_case(torch.ones(1, 2, 2), BALL, views=HALF_MM)
    for zone, pixels in zip(ZONES, zones_of(BALL), strict=True):
        assert zone().score(batch)[0] == pytest.approx(float(pixels.double().mean()))
        assert zone(relative=True).score(batch)[0] == pytest.approx(1)


def test_a_nodule_too_small_for_a_core_and_an_image_without_one_have_no_score():
    small = (RADIUS < 1.5)[None]
    batch = mask_case(torch.ones(1, 2, 2), small, views=HALF_MM)
    assert np.isnan(CoreEnergy().score(batch)[0])
    assert RimEnergy().score(batch)[0] > 0
    nothing = mask_case(torch.ones(1, 2, 2), torch.zeros_like(small), views=HALF_MM)
    assert np.isnan([zone().score(nothing)[0] for zone in ZONES]).all()


def test_a_surround_that_ends_before_it_begins_is_refused():
    with pytest.raises(InputError, match="rim_mm"):
        RimEnergy(rim_mm=3, surround_mm=2)
