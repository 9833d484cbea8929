"""Insertion where it is known, and against inserting pixels into the fill."""

import numpy as np
import pytest
import torch
from linear_cases import one_pixel_case, order_of, random_case

from ctxai.evaluate.fills import make_fill
from ctxai.evaluate.metrics.insertion import Insertion
from ctxai.evaluate.perturb import steps_of


def test_the_one_pixel_that_counts_lacks_half_a_step():
    assert Insertion("zero", 16).score(one_pixel_case())[0] == 1 - 1 / 32
    assert Insertion("zero", 16).score(one_pixel_case(maps=-one_pixel_case().maps))[0] == 1 / 32


def test_scores_agree_with_putting_pixels_into_the_fill_one_after_another():
    case = random_case(link="sigmoid")
    fill = make_fill("blur_rise", case.images, case.views, 0)
    for place in range(3):
        order = order_of(case.maps[place].flatten(), most=True)
        curve = []
        for count in steps_of(case, 9):
            image = fill[place].clone()
            for pixel in order[:count]:
                image[:, pixel // 6, pixel % 6] = case.images[place, :, pixel // 6, pixel % 6]
            curve.append(float(torch.sigmoid(case.model(image[None])[0, 1])))
        expected = np.trapezoid(curve, np.linspace(0, 1, 10))
        assert Insertion("blur_rise", 9).score(case)[place] == pytest.approx(expected)
