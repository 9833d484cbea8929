"""SaCo where it is known, and against a double loop."""

import numpy as np
import pytest
import torch
from linear_cases import one_pixel_case, order_of, random_case, without

from ctxai.errors import InputError
from ctxai.evaluate.metrics.faithfulness.saco import SaCo


def test_the_exact_contributions_score_one_and_the_reversed_map_minus_one():
    batch = random_case()
    np.testing.assert_allclose(SaCo("zero", 9).score(batch), 1)
    np.testing.assert_allclose(SaCo("zero", 9).score(random_case(maps=-batch.maps)), -1)


@pytest.mark.parametrize("groups", [9, 10])
def test_a_constant_map_has_no_score(groups):
    assert np.isnan(SaCo("zero", groups).score(random_case(maps=torch.full((3, 6, 6), 0.1)))).all()


@pytest.mark.parametrize("groups", [4, 9])  # both divide 36
def test_scores_agree_with_a_double_loop_over_groups(groups):
    maps = torch.randint(0, 20, (3, 6, 6), generator=torch.Generator().manual_seed(1)).double()
    batch = random_case(maps=maps, link="sigmoid")
    size = 36 // groups
    for place in range(3):
        order = order_of(maps[place].flatten(), most=True)
        parts = [order[k * size : (k + 1) * size] for k in range(groups)]
        salience = [float(maps[place].flatten()[part].sum()) for part in parts]
        whole = batch.model(batch.images[place : place + 1])[0, 1].sigmoid()
        drop = [float(whole - without(batch, place, part, "lung_mean")[1].sigmoid()) for part in parts]
        score = total = 0.0
        for i in range(groups):
            for j in range(i + 1, groups):
                weight = salience[i] - salience[j]
                score += weight if drop[i] >= drop[j] else -weight
                total += abs(weight)
        assert SaCo("lung_mean", groups).score(batch)[place] == pytest.approx(score / total)


def test_one_group_or_more_than_pixels_is_refused():
    with pytest.raises(InputError, match="groups"):
        SaCo(groups=1)
    with pytest.raises(InputError, match="16"):
        SaCo("zero", groups=17).score(one_pixel_case())
