"""Box sensitivity where it is known, and square by square."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_cases import AddingUp, random_case, without

from ctxai.errors import InputError
from ctxai.evaluate.metrics.localisation.box_sensitivity import BoxSensitivity

BOXES = BoxSensitivity("zero", boxes=40, side=0.34)


def test_the_exact_contributions_correlate_perfectly_and_the_reversed_map_perfectly_badly():
    batch = random_case()
    np.testing.assert_allclose(BOXES.score(batch), 1)
    np.testing.assert_allclose(BOXES.score(random_case(maps=-batch.maps)), -1)
    np.testing.assert_allclose(BOXES.score(random_case(maps=batch.maps + 3)), 1)


def test_a_constant_map_or_output_correlates_with_nothing():
    assert np.isnan(BOXES.score(random_case(maps=torch.full((3, 6, 6), 0.1)))).all()
    assert np.isnan(BOXES.score(random_case(model=AddingUp(torch.zeros(3, 2, 6, 6).double())))).all()


def test_scores_agree_with_hiding_one_square_at_a_time():
    batch = random_case(maps=torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1)))
    metric = BoxSensitivity("lung_mean", boxes=15, side=0.5)
    squares = [square.flatten().nonzero()[:, 0].tolist() for square in metric.regions(batch)]
    assert {len(square) for square in squares} == {9}
    for place in range(3):
        flat = batch.pixel_maps[place].flatten()
        inside = [float(flat[square].sum()) for square in squares]
        whole = batch.model(batch.images[place : place + 1])[0, 1]
        drops = [float(whole - without(batch, place, square, "lung_mean")[1]) for square in squares]
        assert metric.score(batch)[place] == pytest.approx(np.corrcoef(inside, drops)[0, 1])


def test_squares_are_drawn_by_the_cases_seed_and_start_below_size_minus_side():
    metric = BoxSensitivity(boxes=200)
    batch = random_case()
    first = metric.regions(batch)
    assert first.equal(metric.regions(random_case()))
    assert not first.equal(metric.regions(replace(batch, seed=2)))
    lefts = {int(square.any(dim=0).nonzero()[0]) for square in first}
    assert lefts == set(range(6 - round(0.25 * 6)))


@pytest.mark.parametrize("options", [{"boxes": 1}, {"side": 0.0}, {"side": 1.0}])
def test_options_that_leave_nothing_to_compare_are_refused(options):
    with pytest.raises(InputError, match="boxes"):
        BoxSensitivity(**options)
