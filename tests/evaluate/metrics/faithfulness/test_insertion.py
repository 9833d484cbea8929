"""Insertion where it is known, and against inserting pixels into the fill."""

import numpy as np
import pytest
import torch
from linear_cases import one_pixel_case, order_of, random_case

from ctxai.evaluate.explanations.perturb import steps_of
from ctxai.evaluate.explanations.perturbation_baselines import make_fill
from ctxai.evaluate.metrics.faithfulness.insertion import Insertion


def test_the_one_pixel_that_counts_lacks_half_a_step():
    assert Insertion("zero", 16).score(one_pixel_case())[0] == 1 - 1 / 32
    assert Insertion("zero", 16).score(one_pixel_case(maps=-one_pixel_case().maps))[0] == 1 / 32


def test_scores_agree_with_putting_pixels_into_the_fill_one_after_another():
    batch = random_case(link="sigmoid")
    fill = make_fill("blur_rise", batch.images, batch.views, 0)
    for place in range(3):
        order = order_of(batch.maps[place].flatten(), most=True)
        curve = []
        for count in steps_of(batch, 9):
            image = fill[place].clone()
            for pixel in order[:count]:
                image[:, pixel // 6, pixel % 6] = batch.images[place, :, pixel // 6, pixel % 6]
            curve.append(float(torch.sigmoid(batch.model(image[None])[0, 1])))
        expected = np.trapezoid(curve, np.linspace(0, 1, 10))
        assert Insertion("blur_rise", 9).score(batch)[place] == pytest.approx(expected)
