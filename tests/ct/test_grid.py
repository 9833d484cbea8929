import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ctxai.ct.grid import Grid

from synthetic_ct import ct_grid


def test_a_cube_is_centred_and_runs_left_posterior_superior():
    grid = Grid.cube(np.array([10.0, -20.0, 30.0]), (4, 6, 8), 2.0)
    np.testing.assert_allclose(grid.centre, [10, -20, 30])
    np.testing.assert_allclose(grid.to_lps(np.array([1, 0, 0])) - grid.to_lps(np.zeros(3)), [2, 0, 0])
    np.testing.assert_allclose(grid.to_lps(np.array([0, 0, 1])) - grid.to_lps(np.zeros(3)), [0, 0, 2])
    np.testing.assert_allclose(grid.normal, [0, 0, 1])


@given(
    st.tuples(*[st.floats(0.3, 5)] * 3),
    st.tuples(*[st.floats(-400, 400)] * 3),
    st.floats(-np.pi, np.pi),
    st.floats(-0.5, 0.5),
)
def test_index_and_position_are_inverse(spacing, origin, angle, tilt):
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing) @ np.array([[1, 0, 0], [0, 1, tilt], [0, 0, 1]])
    affine[:3, 3] = origin
    grid = Grid((5, 6, 7), affine)
    index = np.array([[0.0, 0, 0], [6, 5, 4], [1.5, 2.25, 3.75]])
    np.testing.assert_allclose(grid.to_index(grid.to_lps(index)), index, atol=1e-6)


def test_contains_means_inside_a_voxel_not_between_centres():
    grid = Grid.cube(np.zeros(3), (3, 3, 3), 1.0)
    assert grid.contains(np.array([1.49, -1.49, 0]))
    assert not grid.contains(np.array([1.51, 0, 0]))
    np.testing.assert_array_equal(grid.contains(np.array([[0, 0, 0], [9, 0, 0]])), [True, False])


def test_a_crop_keeps_every_voxel_where_it_was():
    grid = ct_grid()
    crop = grid.crop((2, 3, 4), (5, 6, 7))
    np.testing.assert_allclose(crop.to_lps(np.array([1, 2, 3])), grid.to_lps(np.array([5, 5, 5])))
    assert crop.shape == (5, 6, 7)


def test_voxel_volume_counts_the_shear_of_a_tilted_gantry():
    straight, tilted = ct_grid(), ct_grid(tilt_deg=20)
    step = tilted.affine[:3, 2]
    np.testing.assert_allclose(
        tilted.voxel_volume_mm3 / straight.voxel_volume_mm3,
        abs(step @ tilted.normal) / straight.spacing_mm[2],
    )
