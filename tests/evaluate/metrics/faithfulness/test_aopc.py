"""AOPC where it is known, and against replacing regions one image at a time."""

import numpy as np
import pytest
import torch
from linear_cases import one_pixel_case, order_of, random_case, without

from ctxai.errors import InputError
from ctxai.evaluate.metrics.faithfulness.aopc import AOPC


def aopc(maps=None, **options):
    given = {} if maps is None else {"maps": maps}
    return AOPC("zero", region=2, **options).score(one_pixel_case(**given))[0]


def test_the_region_with_the_evidence_counts_from_its_turn_on():
    maps = one_pixel_case().maps
    assert aopc() == pytest.approx(4 / 5)  # k = 1 .. 4 of k = 0 .. 4
    assert aopc(-maps) == pytest.approx(1 / 5)
    assert aopc(torch.ones_like(maps)) == pytest.approx(3 / 5)  # equal regions go by index; it is the second of four
    assert aopc(steps=2) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("region", "steps"), [(1, 10), (2, 100), (4, 100), (0, 3)])
def test_scores_agree_with_replacing_regions_one_image_at_a_time(region, steps):
    batch = random_case(link="sigmoid")
    side = region or 1
    rows = 6 // side
    for place in range(3):
        cells = [
            [(side * (cell // rows) + i) * 6 + side * (cell % rows) + j for i in range(side) for j in range(side)]
            for cell in range(rows * rows)
        ]
        sums = torch.stack([batch.maps[place].flatten()[cell].sum() for cell in cells])
        order = order_of(sums, most=True)[:steps]
        whole = batch.model(batch.images[place : place + 1])[0, 1].sigmoid()
        expected = []
        for draw in range(2):
            drops = [torch.zeros(())]
            for k in range(1, len(order) + 1):
                gone = [pixel for cell in order[:k] for pixel in cells[cell]]
                drops.append(whole - without(batch, place, gone, "uniform", draw)[1].sigmoid())
            expected.append(float(torch.stack(drops).mean()))
        metric = AOPC("uniform", region, steps, probability=True, repeats=2)
        assert metric.score(batch)[place] == pytest.approx(np.mean(expected))


def test_regions_larger_than_the_image_and_no_steps_are_refused():
    with pytest.raises(InputError, match="smaller"):
        AOPC("zero", region=5).score(one_pixel_case())
    with pytest.raises(InputError, match="steps"):
        AOPC(steps=0)
