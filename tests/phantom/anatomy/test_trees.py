import numpy as np
import pytest

from ctxai.phantom.anatomy.trees import MURRAY, follow, grow

ROOT = np.zeros(3)


def ends(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).uniform(-40, 40, (count, 3))


def test_every_end_is_reached_and_mothers_come_before_daughters():
    tree = grow(ROOT, ends(), 0.4)
    assert {tuple(p) for p in np.round(tree.nodes[1:], 3)} == {tuple(p) for p in np.round(ends(), 3)}
    assert (tree.parent[1:] < np.arange(1, len(tree.nodes))).all()


def test_radii_follow_murray_s_law():
    tree = grow(ROOT, ends(), 0.4)
    power = tree.radius**MURRAY
    for mother in np.unique(tree.parent[1:]):
        daughters = np.flatnonzero(tree.parent == mother)
        daughters = daughters[daughters > 0]
        assert power[mother] == pytest.approx(power[daughters].sum(), rel=1e-6)


def test_ends_in_a_row_make_one_branch():
    row = np.column_stack([np.arange(1, 6) * 10.0, np.zeros(5), np.zeros(5)])
    np.testing.assert_array_equal(grow(ROOT, row, 0.4).parent, [0, 0, 1, 2, 3, 4])


def test_balance_shortens_the_way_to_the_root():
    def longest(balance: float) -> float:
        tree = grow(ROOT, ends(200), 0.4, balance)
        way = np.zeros(len(tree.nodes))
        for i in range(1, len(way)):
            way[i] = way[tree.parent[i]] + np.linalg.norm(tree.nodes[i] - tree.nodes[tree.parent[i]])
        return way.max()

    assert longest(1.0) < longest(0.0)


def test_branches_run_from_mother_to_daughter():
    cloud = follow(grow(ROOT, np.array([[30.0, 0.0, 0.0]]), 0.4))
    assert cloud.points[:, 0].min() == pytest.approx(0, abs=1)
    assert cloud.points[:, 0].max() == pytest.approx(30, abs=1)
    assert cloud.volume.sum() == pytest.approx(np.pi * 0.4**2 * 30, rel=0.05)


def test_branches_thinner_than_asked_are_left_out():
    tree = grow(ROOT, ends(), 0.4)
    assert follow(tree, least_radius_mm=1.0).volume.sum() < follow(tree).volume.sum()
    assert len(follow(tree, least_radius_mm=99.0).volume) == 0
