import numpy as np
import pytest

from ctxai.phantom.anatomy.shapes import (
    STEP,
    CoarseGrid,
    blend,
    box,
    capsule,
    carve,
    coverage,
    ellipsoid,
    paint,
    union,
    upsample,
)


def test_a_sphere_s_distance_is_exact():
    x = np.linspace(-20, 20, 40)
    np.testing.assert_allclose(ellipsoid(x, 0, 0, (2, 0, 0), (5, 5, 5)), np.abs(x - 2) - 5, atol=1e-3)


def test_an_ellipsoid_is_zero_on_its_surface_and_negative_inside():
    surface = np.array([[3, 0, 0], [0, 4, 0], [0, 0, 5]], float).T
    np.testing.assert_allclose(ellipsoid(*surface, (0, 0, 0), (3, 4, 5)), 0, atol=1e-4)
    assert ellipsoid(*(0.5 * surface), (0, 0, 0), (3, 4, 5)).max() < 0


def test_a_capsule_tapers_from_its_start_to_its_end():
    ends = (0.0, 0.0, 0.0), (10.0, 0.0, 0.0)
    y = 7.0
    for x, radius in ((0.0, 4.0), (5.0, 3.0), (10.0, 2.0)):
        assert capsule(np.array(x), y, 0, *ends, 4.0, 2.0) == pytest.approx(y - radius)
    assert capsule(np.array(13.0), 4.0, 0, *ends, 4.0, 2.0) == pytest.approx(5 - 2)  # beyond the end: a ball


def test_a_blend_reaches_beyond_the_union_only_near_the_crease():
    a, b = np.array([-3.0, 1.0, 30.0]), np.array([30.0, 1.0, -3.0])
    np.testing.assert_allclose(blend(a, b, 4)[[0, 2]], union(a, b)[[0, 2]])
    assert blend(a, b, 4)[1] == pytest.approx(1 - 4 / 4)


def test_carving_removes_the_second_shape():
    assert carve(np.array(-5.0), np.array(-5.0), 1) > 0
    assert carve(np.array(-5.0), np.array(50.0), 1) == pytest.approx(-5)


def test_upsampling_is_exact_for_planes():
    nodes = 2.0 * np.arange(5)[:, None] + 3.0 * np.arange(4)[None, :]
    pixels = upsample(nodes)
    assert pixels.shape == (4 * STEP, 3 * STEP)
    row, column = np.indices(pixels.shape) / STEP
    np.testing.assert_allclose(pixels, 2 * row + 3 * column)


def test_the_coarse_nodes_span_the_image():
    grid = CoarseGrid(512, 0.7, np.array([0.0]))
    assert len(grid.nodes_mm) == 512 // STEP + 1
    assert grid.nodes_mm[-1] == pytest.approx(512 * 0.7)


def test_an_edge_covers_half_of_the_voxel_it_passes_through():
    np.testing.assert_allclose(coverage(np.array([-2.0, 0.0, 2.0]), 1.0), [1, 0.5, 0])


def test_painting_fills_the_shape_and_leaves_the_rest():
    x = np.arange(17.0) * STEP
    nodes = np.hypot(x[:, None] - 32, x[None, :] - 32) - 12
    image = np.zeros((64, 64))
    paint(image, nodes, 100.0, 1.0)
    assert image.sum() / 100 == pytest.approx(np.pi * 12**2, rel=0.06)
    assert image[32, 32] == 100
    assert image[0, 0] == 0


def test_a_plate_thinner_than_the_coarse_grid_keeps_its_thickness():
    x = np.broadcast_to(np.arange(17.0) * STEP, (17, 17))
    image = np.zeros((64, 64))
    paint(image, x - 30.5, 1.0, 1.0, also=27.5 - x)
    np.testing.assert_allclose(image.sum(axis=1), 3.0)


def test_nothing_is_painted_where_the_shape_is_elsewhere():
    nodes = np.full((17, 17), 50.0)
    assert box(nodes, 1.0) is None
    image = np.zeros((64, 64))
    paint(image, nodes, 1.0, 1.0)
    assert not image.any()
