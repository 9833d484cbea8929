from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from ctxai.errors import GeometryError, InputError
from ctxai.export import outline_of_mask, outline_of_point

from synthetic_ct import SCANS, ct_grid


def pixels_within(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose middles lie inside a line in DICOM's pixel coordinates."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    middles = np.column_stack([columns.ravel() + 0.5, rows.ravel() + 0.5])
    return Polygon(points, closed=True).contains_points(middles).reshape(shape)


def test_the_line_holds_the_pixels_of_the_largest_slice_and_no_others():
    rng = np.random.default_rng(0)
    mask = np.zeros((5, 20, 30), dtype=bool)
    mask[1, 5:9, 4:9] = True
    mask[2] = np.hypot(*np.ogrid[-9:11, -14:16]) < 6 + rng.normal(size=(20, 30)) * 0.3
    mask[2] &= np.hypot(*np.ogrid[-9:11, -14:16]) < 7
    outline = outline_of_mask(mask, (100, 0, 0))
    assert outline.slice_index == 102
    assert outline.drawn
    np.testing.assert_array_equal(outline.points[0], outline.points[-1])
    inside = pixels_within(outline.points, mask.shape[1:])
    assert inside[mask[2]].mean() > 0.97  # specks apart from the largest part are left out
    assert not inside[~mask[2]].any() or (inside & ~mask[2]).sum() <= 3  # holes


def test_one_voxel_has_a_line_about_its_middle_where_the_ct_has_it():
    mask = np.zeros((1, 3, 3), dtype=bool)
    mask[0, 1, 2] = True
    outline = outline_of_mask(mask, (7, 40, 50))
    assert outline.slice_index == 7
    np.testing.assert_allclose(outline.points[:-1].mean(axis=0), [50 + 2 + 0.5, 40 + 1 + 0.5])
    assert outline.points.dtype == np.float32


def test_a_mask_on_the_edge_of_the_image_has_a_closed_line():
    outline = outline_of_mask(np.ones((2, 4, 6), dtype=bool))
    assert outline.points.min() >= 0
    np.testing.assert_array_equal(outline.points[0], outline.points[-1])
    assert pixels_within(outline.points, (4, 6)).all()


def test_of_several_parts_the_largest_is_outlined_and_a_hole_is_not():
    mask = np.zeros((1, 20, 20), dtype=bool)
    mask[0, 1:4, 1:4] = True
    mask[0, 8:18, 8:18] = True
    mask[0, 12:14, 12:14] = False
    inside = pixels_within(outline_of_mask(mask).points, (20, 20))
    expected = np.zeros((20, 20), dtype=bool)
    expected[8:18, 8:18] = True
    np.testing.assert_array_equal(inside, expected)


def test_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="empty mask"):
        outline_of_mask(np.zeros((2, 3, 4), dtype=bool))


@pytest.mark.parametrize("name", SCANS)
def test_a_point_is_marked_by_a_circle_of_its_diameter_in_the_nearest_slice(name):
    options = {key: value for key, value in SCANS[name].items() if key != "file_order"}
    grid = ct_grid(**options)
    centre = grid.to_lps(np.array([15.25, 11.5, 6.3]))
    outline = outline_of_point(grid, centre, 5.0)
    assert outline.slice_index == 6
    assert not outline.drawn
    on_slice = np.column_stack([outline.points - 0.5, np.full(len(outline.points), 6.3)])
    distance = np.linalg.norm(grid.to_lps(on_slice) - centre, axis=1)
    np.testing.assert_allclose(distance, 2.5, atol=1e-4)


def test_a_circle_ends_at_the_edge_of_the_image_and_a_point_outside_is_refused():
    grid = ct_grid()
    points = outline_of_point(grid, grid.to_lps(np.array([0.0, 0.0, 0.0])), 10.0).points
    assert points.min() == 0
    np.testing.assert_array_equal(points[0], points[-1])
    with pytest.raises(GeometryError, match="outside the CT"):
        outline_of_point(grid, grid.to_lps(np.array([-3.0, 0.0, 0.0])), 10.0)
