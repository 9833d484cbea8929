import numpy as np
import pytest

from ctxai.ct.grid import Grid
from ctxai.ct.point_diagnostics import extent, suggest_coordinate_fix

#: 100 mm wide and deep, 50 mm high; x 10..109, y -200..-101, z 300..349.
GRID = Grid((50, 100, 100), np.array([[1.0, 0, 0, 10], [0, 1, 0, -200], [0, 0, 1, 300], [0, 0, 0, 1]]))


def test_the_extent_is_said_in_millimetres():
    assert extent(GRID) == "x 10.0..109.0, y -200.0..-101.0, z 300.0..349.0 mm, LPS"


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ((-60, 150, 320), "with the signs of x and y turned it lies inside"),
        ((40, 30, 20), "column, row and slice, counted from 0 along the CT's axes, would be 50.0,-170.0,320.0"),
        ((6.0, -15.0, 32.0), "they may be centimetres"),
        ((60, -150, 20.5), "was it marked in another series?"),
        ((1e308, 1e308, 1e308), "was it marked in another series?"),
    ],
)
def test_a_point_outside_is_told_what_its_numbers_may_be(position, words):
    lps = np.array(position, dtype=float)
    assert not GRID.contains(lps)
    assert words in suggest_coordinate_fix(GRID, lps)
