"""Energy inside where it is known."""

import numpy as np
import pytest
import torch
from linear_cases import mask_case, square_mask

from ctxai.evaluate.metrics.localisation.energy_inside import EnergyInside

MASK = square_mask()  # 9 of 64 pixels


def energy(maps, mask=MASK, **options):
    return EnergyInside(**options).score(mask_case(maps, mask))[0]


def test_a_map_equal_to_the_mask_scores_one_and_its_reverse_nothing():
    assert energy(MASK.double()) == 1
    assert energy(1 - MASK.double()) == 0


def test_a_constant_map_scores_the_masks_share_of_the_image():
    assert energy(torch.full((1, 2, 2), 0.3)) == pytest.approx(9 / 64)
    assert energy(torch.full((1, 2, 2), 0.3), relative=True) == pytest.approx(1)


def test_only_positive_values_count():
    maps = torch.full((1, 8, 8), -5.0)
    maps[0, 3, 3], maps[0, 0, 0] = 3.0, 1.0
    assert energy(maps) == 0.75
    assert energy(maps, relative=True) == pytest.approx(0.75 * 64 / 9)


def test_tiny_values_count_as_well():
    maps = torch.zeros(1, 8, 8, dtype=torch.float64)
    maps[0, 3, 3], maps[0, 0, 0] = 3e-320, 1e-320
    assert energy(maps) == pytest.approx(0.75, abs=1e-3)


def test_without_positive_values_or_without_a_mask_there_is_no_score():
    assert np.isnan(energy(-torch.ones(1, 2, 2)))
    assert np.isnan(energy(torch.zeros(1, 2, 2)))
    assert np.isnan(energy(torch.ones(1, 2, 2), torch.zeros(1, 8, 8)))
