import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxai.ct.grid import Grid
from ctxai.ct.patch import extract_patch, inside, resample, slices_touched
from ctxai.ct.series import AIR_HU, read_series
from ctxai.errors import GeometryError

from synthetic_ct import FEET_FIRST, ct_grid, rotated, write_ct

#: HU as a linear function of the position, which linear interpolation must give back exactly.
SLOPE = np.array([3.0, -2.0, 1.5])
GRIDS = {
    "axial": ct_grid((24, 48, 48)),
    "feet first": ct_grid((24, 48, 48), orientation=FEET_FIRST, origin_lps=(-14, -40, -70)),
    "oblique": ct_grid((24, 48, 48), orientation=rotated(20)),
    "tilted": ct_grid((24, 48, 48), tilt_deg=12),
}


def field(grid: Grid) -> np.ndarray:
    slices, rows, columns = np.meshgrid(*map(np.arange, grid.shape), indexing="ij")
    return grid.to_lps(np.stack([columns, rows, slices], axis=-1)) @ SLOPE


@pytest.mark.parametrize("name", GRIDS)
def test_a_linear_field_is_recovered_in_patient_space(tmp_path, name):
    grid = GRIDS[name]
    write_ct(tmp_path, np.rint(field(grid)).astype(np.int16), grid)
    series = read_series(tmp_path)
    patch = extract_patch(series, series.grid.centre, (20, 20, 20))
    expected = field(patch.grid)
    assert patch.valid.mean() > 0.9
    # One HU of rounding in the images and half a one in the patch.
    assert np.abs(patch.hu - expected)[patch.valid].max() <= 1.51


def test_a_bright_voxel_appears_left_posterior_superior_of_the_centre(tmp_path):
    grid = ct_grid((24, 48, 48), (1.0, 1.0, 1.0))
    hu = np.full(grid.shape, -800, np.int16)
    hu[15, 27, 30] = 1000
    write_ct(tmp_path, hu, grid)
    # The patch's centre is its index 4.5: the voxel lies 3.5 mm to the left, 1.5 mm to posterior, 2.5 mm to superior.
    patch = extract_patch(read_series(tmp_path), grid.to_lps(np.array([26.5, 25.5, 12.5])), (10, 10, 10))
    assert np.unravel_index(patch.hu.argmax(), patch.hu.shape) == (7, 6, 8)
    assert patch.hu.max() == 1000


def test_beyond_the_scan_the_patch_is_air_and_not_valid(tmp_path):
    grid = ct_grid((24, 48, 48))
    write_ct(tmp_path, np.zeros(grid.shape, np.int16), grid)
    series = read_series(tmp_path)
    patch = extract_patch(series, series.grid.to_lps(np.array([0, 0, 0])), (16, 16, 16))
    assert (patch.hu[~patch.valid] == AIR_HU).all()
    assert (patch.hu[patch.valid] == 0).all()
    assert 0.1 < patch.valid.mean() < 0.2  # one octant and half a voxel


def test_a_point_outside_the_ct_is_refused_with_its_extent(tmp_path):
    grid = ct_grid()
    write_ct(tmp_path, np.zeros(grid.shape, np.int16), grid)
    with pytest.raises(GeometryError, match=r"point \(500, 0, 0\) lies outside the CT \(x -50.0..-28.3"):
        extract_patch(read_series(tmp_path), np.array([500, 0, 0]))


@settings(max_examples=40, deadline=None)
@given(
    spacing=st.tuples(st.floats(0.4, 1.2), st.floats(0.4, 1.2), st.floats(0.5, 5)),
    angle=st.floats(-180, 180),
    tilt=st.floats(-25, 25),
    offset=st.tuples(*[st.floats(-10, 10)] * 3),
)
def test_patch_to_patient_to_patch_returns_within_a_ten_thousandth_mm(spacing, angle, tilt, offset):
    ct = ct_grid((9, 10, 11), spacing, orientation=rotated(angle), tilt_deg=tilt)
    patch = Grid.cube(ct.centre + np.array(offset), (8, 8, 8), 1.0)
    index = np.argwhere(np.ones((8, 8, 8)))[:, ::-1].astype(float)
    lps = patch.to_lps(index)
    through_ct = ct.to_lps(ct.to_index(lps))
    assert np.abs(through_ct - lps).max() < 1e-4
    assert np.abs(patch.to_index(through_ct) - index).max() < 1e-4


def test_the_slices_read_are_those_that_interpolation_needs():
    ct = ct_grid((40, 20, 20), (1.0, 1.0, 2.0))
    patch = Grid.cube(ct.to_lps(np.array([10, 10, 20.25])), (5, 5, 5), 1.0)
    # from slice 19.25 to 21.25
    assert slices_touched(ct, patch) == (19, 23)
    array = np.random.default_rng(0).normal(size=ct.shape).astype(np.float32)
    np.testing.assert_allclose(
        resample(array[19:23], ct.crop((19, 0, 0), (4, 20, 20)), patch), resample(array, ct, patch), atol=1e-5
    )


def test_inside_agrees_with_the_definition_voxel_by_voxel():
    ct = GRIDS["oblique"]
    patch = Grid.cube(ct.to_lps(np.array([5, 5, 2])), (12, 12, 12), 1.5)
    index = np.argwhere(np.ones(patch.shape))
    expected = ct.contains(patch.to_lps(index[:, ::-1])).reshape(patch.shape)
    np.testing.assert_array_equal(inside(ct, patch), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize("components", [1, 3])
def test_several_components_are_resampled_as_each_alone(components):
    source, target = ct_grid((6, 8, 9)), Grid.cube(ct_grid((6, 8, 9)).centre, (4, 5, 6), 1.0)
    array = np.random.default_rng(0).normal(size=(6, 8, 9, components)).astype(np.float32)
    together = resample(array, source, target)
    assert together.shape == (4, 5, 6, components)
    for number in range(components):
        np.testing.assert_allclose(together[..., number], resample(array[..., number], source, target), atol=1e-6)
