"""Fusing views of fields whose values are known everywhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxai.errors import InputError
from ctxai.explain.fuse import ViewStack, fuse_views

AXES = {"axial": (0, 1, 2, 1), "coronal": (1, 0, 2, -1), "sagittal": (2, 0, 1, -1)}  # normal, rows, columns, direction


def look_at(field, view, offsets, pixels, field_of_view):
    """Sample ``field(superior, posterior, left)`` in mm on the pixel centres of a view."""
    normal, rows, columns, direction = AXES[view]
    centres = ((torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels - 0.5) * field_of_view
    position = [None, None, None]
    position[normal], position[rows], position[columns] = torch.meshgrid(
        torch.as_tensor(offsets, dtype=torch.float64), direction * centres, centres, indexing="ij"
    )
    return ViewStack(field(*position), torch.as_tensor(offsets, dtype=torch.float64), field_of_view)


def on_patch(field, shape, spacing=1.0):
    return field(*np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * spacing for n in shape], indexing="ij"))


def linear(superior, posterior, left):
    return 1.0 * superior - 2.0 * posterior + 4.0 * left + 3.0


@pytest.mark.parametrize("view", AXES)
def test_view_with_a_pixel_per_voxel_gives_the_field_itself(view):
    fused = fuse_views({view: look_at(linear, view, np.arange(16) - 7.5, 16, 16.0)}, (16, 16, 16))
    np.testing.assert_allclose(fused.values, on_patch(linear, (16, 16, 16)), rtol=1e-6)
    assert fused.covered.all()
    assert not fused.std.any()
    assert (fused.values.dtype, fused.std.dtype, fused.covered.dtype) == (np.float32, np.float32, bool)


@pytest.mark.parametrize("view", AXES)
def test_a_point_comes_back_where_it_was(view):
    def point(superior, posterior, left):
        return ((superior == 4.5) & (posterior == -2.5) & (left == 6.5)).double()

    fused = fuse_views({view: look_at(point, view, np.arange(16) - 7.5, 16, 16.0)}, (16, 16, 16))
    assert np.argwhere(fused.values).tolist() == [[12, 5, 14]]


def test_the_first_row_of_coronal_and_sagittal_images_is_the_most_superior():
    maps = torch.zeros(2, 4, 4)
    maps[:, 0] = 1
    stack = ViewStack(maps, torch.tensor([-2.0, 2.0]), 8.0)
    for view in ("coronal", "sagittal"):
        fused = fuse_views({view: stack}, (8, 8, 8))
        assert fused.values[6:].all()
        assert not fused.values[:6].any()
    assert fuse_views({"axial": stack}, (8, 8, 8)).values[:, :2].all(where=fused.covered[:, :2])


def test_between_slices_a_linear_field_stays_exact():
    fused = fuse_views({"axial": look_at(linear, "axial", [-7.0, -1.0, 2.0, 7.5], 16, 16.0)}, (16, 16, 16))
    expected = on_patch(linear, (16, 16, 16))
    inner = slice(1, 16)  # the first voxel, at -7.5 mm, lies beyond the first slice
    np.testing.assert_allclose(fused.values[inner], expected[inner], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fused.values[0], expected[0] + 0.5, rtol=1e-6, atol=1e-6)


def test_a_stack_reaches_half_a_slice_distance_beyond_its_ends():
    stack = ViewStack(torch.ones(3, 4, 4), torch.tensor([-1.0, 1.0, 2.0]), 10.0)
    covered = fuse_views({"axial": stack}, (9, 10, 10)).covered[:, 5, 5]
    assert np.flatnonzero(covered).tolist() == [2, 3, 4, 5, 6]  # -2 mm to 2.5 mm around index 4


def test_outside_the_field_of_view_nothing_is_covered():
    fused = fuse_views({"axial": ViewStack(torch.ones(2, 3, 3), torch.tensor([-2.0, 2.0]), 4.0)}, (8, 8, 8))
    assert fused.covered[:, 2:6, 2:6].all()
    assert fused.covered.sum() == 8 * 4 * 4
    assert not fused.values[~fused.covered].any()


def test_value_is_the_mean_and_std_the_deviation_over_the_views_that_cover_a_voxel():
    def constant(value, field_of_view):
        return ViewStack(torch.full((2, 2, 2), value), torch.tensor([-4.0, 4.0]), field_of_view)

    fused = fuse_views({"axial": constant(1.0, 16.0), "coronal": constant(4.0, 16.0), "sagittal": constant(10.0, 4.0)})
    assert fused.values[32, 32, 32] == 5.0
    assert fused.std[32, 32, 32] == pytest.approx(np.std([1, 4, 10]))
    assert fused.values[32, 36, 32] == 2.5
    assert fused.std[32, 36, 32] == 1.5
    assert not fused.covered[0, 0, 0]


def test_patch_of_depth_one_takes_its_single_slice():
    maps = torch.arange(16.0).reshape(1, 4, 4)
    fused = fuse_views({"axial": ViewStack(maps, torch.tensor([0.0]), 64.0)}, (1, 64, 64))
    np.testing.assert_array_equal(fused.values[0, ::16, ::16], maps[0])
    assert fused.covered.all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.floats(4, 40), st.floats(0.5, 2), st.sampled_from(sorted(AXES)))
def test_linear_reading_gives_linear_fields_back_inside_the_images(slices, pixels, field_of_view, spacing, view):
    offsets = np.linspace(-9.0, 11.0, slices)
    stack = look_at(linear, view, offsets, pixels, field_of_view)
    fused = fuse_views({view: stack}, (7, 7, 7), spacing, in_plane="linear")
    centres = (np.arange(7) - 3) * spacing
    inner = np.abs(centres) <= field_of_view * (0.5 - 0.5 / pixels)
    block = np.ix_(*[np.flatnonzero(inner & (centres >= -9) & (centres <= 11))] * 3)
    np.testing.assert_allclose(fused.values[block], on_patch(linear, (7, 7, 7), spacing)[block], atol=1e-4)


@pytest.mark.parametrize(
    ("stacks", "message"),
    [
        ({}, "found none"),
        ({"oblique": ViewStack(torch.ones(1, 2, 2), torch.zeros(1), 4.0)}, "oblique"),
        ({"axial": ViewStack(torch.ones(2, 2), torch.zeros(2), 4.0)}, "one offset per slice"),
        ({"axial": ViewStack(torch.ones(2, 2, 2), torch.tensor([1.0, 0.0]), 4.0)}, "ascending"),
        ({"axial": ViewStack(torch.ones(1, 2, 2), torch.zeros(1), 0.0)}, "field of view"),
    ],
)
def test_stacks_that_do_not_fit_are_refused(stacks, message):
    with pytest.raises(InputError, match=message):
        fuse_views(stacks)
