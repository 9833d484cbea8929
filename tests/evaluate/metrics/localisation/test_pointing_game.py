"""The pointing game where it is known."""

import numpy as np
import pytest
import torch
from linear_cases import mask_case, square_mask

from ctxai.errors import InputError
from ctxai.evaluate.metrics.localisation.pointing_game import PointingGame

MASK = square_mask()


def pointing(maps, mask=MASK, tolerance=0.0):
    return PointingGame(tolerance).score(mask_case(maps, mask))[0]


def peak(row, column):
    maps = torch.zeros(1, 8, 8)
    maps[0, row, column] = 1
    return maps


def test_one_pixel_hits_or_misses():
    assert pointing(peak(4, 2)) == 1
    assert pointing(peak(5, 2)) == 0
    assert pointing(-peak(4, 2)) == pytest.approx(8 / 63)  # all other pixels share the largest value


def test_pixels_that_share_the_largest_value_hit_by_their_share():
    assert pointing(torch.ones(1, 1, 1)) == pytest.approx(9 / 64)
    tokens = torch.zeros(1, 4, 4)
    tokens[0, 1, 2] = 1  # rows 2 to 3, columns 4 to 5, of which column 4 is inside
    assert pointing(tokens) == 0.5


def test_the_tolerance_widens_the_mask_by_pixels():
    assert pointing(peak(5, 3), tolerance=1.0) == 1
    assert pointing(peak(6, 3), tolerance=1.0) == 0
    assert pointing(peak(5, 5), tolerance=1.0) == 0  # the square root of two away
    assert pointing(peak(5, 5), tolerance=1.5) == 1


def test_without_a_mask_there_is_no_score():
    nothing = torch.zeros(1, 8, 8)
    assert np.isnan(pointing(peak(1, 1), nothing))
    assert np.isnan(pointing(peak(1, 1), nothing, tolerance=3.0))


def test_a_negative_tolerance_is_refused():
    with pytest.raises(InputError, match="tolerance"):
        PointingGame(-1.0)
