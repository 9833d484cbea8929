"""Curves of removal: order, ends, one stream of batches, nothing run twice."""

import pytest
import torch
from linear_cases import AddingUp, one_pixel_case, order_of, random_case, slow_curve

from ctxai.errors import InputError, ModelError
from ctxai.evaluate.explanations.perturb import outputs_after_removal, ranks, steps_of


def test_equal_scores_go_by_index_in_both_orders():
    scores = torch.tensor([[1.0, 3.0, 1.0, 3.0]])
    assert ranks(scores, "MoRF").tolist() == [[2, 0, 3, 1]]
    assert ranks(scores, "LeRF").tolist() == [[0, 2, 1, 3]]


def test_the_opposite_map_swaps_the_orders_and_a_constant_one_has_only_one():
    scores = torch.randint(0, 5, (3, 50), generator=torch.Generator().manual_seed(0)).double()
    assert ranks(-scores, "MoRF").equal(ranks(scores, "LeRF"))
    constant = torch.full((1, 9), 0.3)
    assert ranks(constant, "MoRF").equal(ranks(constant, "LeRF"))


@pytest.mark.parametrize("fill", ["zero", "lung_mean", "uniform"])
def test_curves_agree_with_removing_pixels_one_image_at_a_time(fill):
    batch = random_case(batch_size=7)
    counts = [0, 1, 5, 35, 36]
    morf, lerf = outputs_after_removal(batch, ["MoRF", "LeRF"], counts, fill)
    for place in range(3):
        torch.testing.assert_close(morf[place], slow_curve(batch, place, True, counts, fill))
        torch.testing.assert_close(lerf[place], slow_curve(batch, place, False, counts, fill))


def test_ties_of_tokens_are_broken_by_the_pixels_index():
    batch = random_case(maps=torch.tensor([[[1.0, 2.0], [2.0, 0.0]]]).expand(3, -1, -1))
    order = order_of(batch.pixel_maps[0].flatten(), most=True)
    assert order[:4] == [3, 4, 5, 9]  # the upper right token's rows come before the lower left one's
    (morf,) = outputs_after_removal(batch, ["MoRF"], [4], "zero")
    torch.testing.assert_close(morf[0], slow_curve(batch, 0, True, [4], "zero"))


def test_many_changes_are_few_batches():
    batch = random_case(batch_size=1000)
    outputs_after_removal(batch, ["MoRF", "LeRF"], steps_of(batch, 36), "zero")
    assert batch.model.batches == [3, 3 * (2 * 35 + 1)]  # the images, and all changes; both orders share their end


def test_what_was_run_before_is_not_run_again():
    batch = random_case(batch_size=1000)
    first = outputs_after_removal(batch, ["MoRF", "LeRF"], [0, 9, 18, 36], "zero")
    ran = len(batch.model.batches)
    again = outputs_after_removal(batch, ["LeRF", "MoRF"], [18, 36], "zero")
    other = outputs_after_removal(batch.for_target(2, "identity"), ["MoRF"], [9], "zero")
    assert len(batch.model.batches) == ran
    assert again[0].equal(first[1][:, 2:])
    assert other[0].equal(first[0][:, 1:2])
    outputs_after_removal(batch, ["MoRF"], [9], "image_mean")
    assert len(batch.model.batches) == ran + 1


def test_steps_round_down():
    batch = random_case()
    assert steps_of(batch, 5) == [0, 7, 14, 21, 28, 36]
    with pytest.raises(InputError, match="step"):
        steps_of(batch, 0)


def test_outputs_that_are_not_finite_are_refused():
    batch = one_pixel_case(model=AddingUp(torch.full((1, 1, 4, 4), torch.nan).double()))
    with pytest.raises(ModelError, match="finite"):
        outputs_after_removal(batch, ["MoRF"], [1], "zero")
