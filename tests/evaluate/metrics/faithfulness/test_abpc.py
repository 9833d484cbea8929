"""ABPC where it is known, and against curves made one image at a time."""

import numpy as np
import pytest
import torch
from linear_cases import one_pixel_case, random_case, slow_curve

from ctxai.evaluate.explanations.perturb import steps_of
from ctxai.evaluate.metrics.faithfulness.abpc import ABPC


def test_it_is_the_plain_mean_of_the_points():
    assert ABPC("zero", steps=16).score(one_pixel_case())[0] == pytest.approx(15 / 17)


@pytest.mark.parametrize("link", ["sigmoid", "softmax", "identity"])
@pytest.mark.parametrize("fill", ["zero", "lung_mean"])
def test_the_reversed_map_scores_exactly_minus_and_a_constant_one_exactly_zero(link, fill):
    for size in (2, 6):
        maps = torch.randint(0, 4, (3, size, size), generator=torch.Generator().manual_seed(2)).double()  # with ties
        for rule in ("nearest", "bilinear"):
            given = {"link": link, "upsampling": rule}
            score = ABPC(fill).score(random_case(maps=maps, **given))
            np.testing.assert_array_equal(ABPC(fill).score(random_case(maps=-maps, **given)), -score)
            constant = random_case(maps=torch.full_like(maps, 0.7), **given)
            np.testing.assert_array_equal(ABPC(fill).score(constant), 0)


def test_scores_agree_with_curves_made_one_image_at_a_time():
    batch = random_case(link="softmax")
    counts = steps_of(batch, 10)
    assert counts == [int(share * 36) for share in np.arange(11) / 10]
    for place in range(3):
        most = slow_curve(batch, place, True, counts, "zero").softmax(dim=1)[:, 1]
        least = slow_curve(batch, place, False, counts, "zero").softmax(dim=1)[:, 1]
        assert ABPC("zero").score(batch)[place] == pytest.approx(float((least - most).mean()))
