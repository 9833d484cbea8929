import numpy as np
import pytest

from ctxai.ct.roundness import roundness

AXES = np.meshgrid(*[np.arange(48) - 23.5] * 3, indexing="ij")


def solid(*lengths, diameter=8.0):
    """A soft-edged body in lung; an infinite length has no end along that axis."""
    distance = np.sqrt(sum((axis / length) ** 2 for axis, length in zip(AXES, lengths, strict=True))) * diameter / 2
    return -850 + 900 / (1 + np.exp((distance - diameter / 2) / 0.7))


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [((4, 4, 4), 1), ((np.inf, 4, 4), 0), ((4, 4, np.inf), 0), ((np.inf, np.inf, 4), 0)],
    ids=["ball", "vessel along the body", "vessel across", "wall"],
)
def test_a_ball_has_one_and_a_vessel_or_a_wall_none(lengths, expected):
    assert roundness(solid(*lengths), 8.0) == pytest.approx(expected, abs=0.02)


def test_an_oblique_vessel_is_no_rounder_than_a_straight_one():
    along = np.array([1.0, 1.0, 0.5]) / np.linalg.norm([1, 1, 0.5])
    lengthwise = sum(axis * step for axis, step in zip(AXES, along, strict=True))
    distance = np.sqrt(sum(axis**2 for axis in AXES) - lengthwise**2)
    assert abs(roundness(-850 + 900 / (1 + np.exp((distance - 4) / 0.7)), 8.0)) < 0.02


def test_a_longish_nodule_lies_between():
    assert 0.1 < roundness(solid(8, 4, 4), 8.0) < 0.6


def test_lung_beside_a_ball_is_below_zero_and_even_tissue_zero():
    assert roundness(np.roll(solid(4, 4, 4), 6, axis=2), 8.0) < 0
    assert roundness(np.full((48, 48, 48), 40.0), 8.0) == pytest.approx(0, abs=1)


def test_its_second_derivatives_are_those_of_a_gaussian_filter():
    from scipy.ndimage import gaussian_filter

    hu = np.random.default_rng(0).normal(-300, 200, (41, 41, 41))
    orders = {(i, j): tuple((i == axis) + (j == axis) for axis in range(3)) for i in range(3) for j in range(3)}
    hessian = [
        [gaussian_filter(hu.clip(-1000, 200), 3.0, order=orders[i, j], truncate=6)[20, 20, 20] for j in range(3)]
        for i in range(3)
    ]
    curvatures = np.sort(-np.linalg.eigvalsh(np.array(hessian)))
    assert roundness(hu, 12.0) == pytest.approx(curvatures[0] / np.abs(curvatures).max(), abs=1e-2)
