import numpy as np
import pytest
import torch

from ctxai.data.views import ViewConfig
from ctxai.errors import ModelError
from ctxai.models.heads import HeadsConfig
from ctxai.run.recentring import displacement_mm, nodule_part, within

from runs import untrained_run


def disc(centre, radius, side=32):
    rows, columns = np.indices((side, side))
    return (np.hypot(rows - centre[0], columns - centre[1]) <= radius).astype(float)


def test_the_part_near_the_mark_is_meant_unless_a_far_one_is_much_larger():
    near, far = disc((16, 18), 3), disc((5, 5), 4)
    assert np.array_equal(nodule_part(np.maximum(near, far), 1.0), near > 0)
    assert np.array_equal(nodule_part(np.maximum(disc((16, 18), 0), disc((16, 25), 5)), 1.0), disc((16, 25), 5) > 0)


def test_an_axial_outline_moves_the_mark_left_and_to_posterior():
    found = displacement_mm(disc((19.5, 13.5), 3)[None], ["axial"], 64.0)
    np.testing.assert_allclose(found, [0, 8, -4], atol=1e-6)  # 2 mm a pixel; superior, posterior, left


def test_views_that_see_an_axis_are_averaged():
    outlines = np.stack([disc((15.5, 17.5), 3), disc((11.5, 19.5), 3)])
    found = displacement_mm(outlines, ["axial", "coronal"], 32.0)
    np.testing.assert_allclose(found, [4, 0, 3], atol=1e-6)  # left is seen by both: 2 and 4 mm


def test_no_mark_is_moved_farther_than_allowed():
    moved = within(torch.tensor([[3.0, 0, 4.0], [0, 1.0, 0], [0, 0, 0]]), 2.5)
    torch.testing.assert_close(moved, torch.tensor([[1.5, 0, 2.0], [0, 1.0, 0], [0, 0, 0]]))


@pytest.fixture
def run():
    views = ViewConfig(views=("axial",), pixels=16, recentre_mm=8.0)
    return untrained_run(views=views, heads=HeadsConfig(outline=1.0))


def patches():
    hu = torch.full((2, 64, 64, 64), -850, dtype=torch.int16)
    hu[:, 28:36, 36:44, 28:36] = 50
    return hu


def test_a_run_predicts_on_the_middle_of_the_outline_that_it_sees(run, monkeypatch):
    def seen(images):
        return torch.from_numpy(disc((2.5, 1.5), 0.8, 4)).expand(len(images), 4, 4)

    monkeypatch.setattr(run.model, "outline", seen)
    moved = run.recentre(patches())
    torch.testing.assert_close(moved, torch.tensor([[0.0, 8.0, 0.0]]).expand(2, 3))
    shifted = torch.roll(patches(), -8, dims=2)
    torch.testing.assert_close(run.outputs(patches(), moved), run.outputs(shifted), rtol=0, atol=1e-5)
    assert run.predict_marked(patches()).equals(run.predict(patches(), moved))


def test_a_run_without_recentring_stays_on_the_mark():
    run = untrained_run(views=ViewConfig(views=("axial",), pixels=16))
    assert not run.recentre(patches()).any()
    with pytest.raises(ModelError, match=r"heads\.outline"):
        run.outlines(patches())


def test_a_run_of_eight_turns_predicts_the_same_of_a_turned_nodule():
    run = untrained_run(views=ViewConfig(views=("axial",), pixels=16, turns=8), heads=HeadsConfig(outline=1.0))
    turned = torch.rot90(patches(), 1, (2, 3))
    torch.testing.assert_close(run.outputs(turned), run.outputs(patches()), rtol=0, atol=1e-5)
    plain = untrained_run(views=ViewConfig(views=("axial",), pixels=16))
    assert float((plain.outputs(turned) - plain.outputs(patches())).abs().max()) > 1e-3
    found = torch.rot90(run.outlines(patches())[:, 0], 1, (1, 2))
    torch.testing.assert_close(run.outlines(turned)[:, 0], found, rtol=0, atol=1e-5)
