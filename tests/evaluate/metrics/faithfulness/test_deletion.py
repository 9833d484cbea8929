"""Deletion where it is known."""

import numpy as np
import pytest
from linear_cases import one_pixel_case, random_case, slow_curve

from ctxai.evaluate.explanations.perturb import steps_of
from ctxai.evaluate.metrics.faithfulness.deletion import Deletion


def test_the_one_pixel_that_counts_leaves_half_a_step():
    assert Deletion("zero", 16).score(one_pixel_case())[0] == 1 / 32


def test_the_reversed_map_keeps_it_to_the_last_step():
    assert Deletion("zero", 16).score(one_pixel_case(maps=-one_pixel_case().maps))[0] == 1 - 1 / 32


def test_scores_agree_with_a_curve_made_one_image_at_a_time():
    batch = random_case(link="sigmoid")
    counts = steps_of(batch, 7)
    for place in range(3):
        curve = slow_curve(batch, place, True, counts, "black")[:, 1].sigmoid()
        assert Deletion("black", 7).score(batch)[place] == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, 8)))
