import numpy as np
import pytest

from ctxai.ct.series import CTSeries, find_series, read_series
from ctxai.ct.volume import CTVolume
from ctxai.errors import InputError
from ctxai.open.planes import PLANES, Planes

from synthetic_ct import SCANS, ct_grid, write_ct

SHAPE = (12, 24, 32)
HU = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)


def scan(folder, name):
    options = dict(SCANS[name])
    order = options.pop("file_order", None)
    write_ct(folder, HU, ct_grid(SHAPE, **options), file_order=order)
    return read_series(folder)


def filled(series):
    planes = Planes(series)
    assert len(list(planes.fill())) == len(series.headers)
    return planes


@pytest.mark.parametrize("name", SCANS)
def test_every_voxel_keeps_its_place_in_the_patient(name, tmp_path):
    series = scan(tmp_path, name)
    planes = filled(series)
    native = series.read()
    s, p, left = np.indices(planes.volume.shape)
    place = series.grid.to_index(planes.grid.to_lps(np.stack([left, p, s], axis=-1)))
    column, row, number = np.rint(place).astype(int).T
    assert np.abs(place - np.rint(place)).max() < 1e-6
    assert (native[number.T, row.T, column.T] == planes.volume).all()


@pytest.mark.parametrize("name", SCANS)
def test_axes_run_to_superior_posterior_and_left(name, tmp_path):
    directions = Planes(scan(tmp_path, name)).grid.affine[:3, :3]
    assert (np.abs(directions).argmax(axis=0) == [0, 1, 2]).all()
    assert (np.diag(directions) > 0).all()


@pytest.mark.parametrize("name", SCANS)
def test_a_block_lies_where_its_voxels_lie(name, tmp_path):
    series = scan(tmp_path, name)
    planes = filled(series)
    start = (2, 3, 5)
    part = series.read()[2:6, 3:10, 5:17]
    first, values = planes.block(start, part)
    place = tuple(slice(a, a + n) for a, n in zip(first, values.shape, strict=True))
    assert (planes.volume[place] == values).all()


def test_an_axial_plane_reads_its_own_slice_alone(tmp_path):
    series = scan(tmp_path, "feet first")
    planes = Planes(series)
    assert (planes.plane("axial", 4) == filled(series).volume[4]).all()
    assert planes.share_read == pytest.approx(1 / 12)


def test_coronal_and_sagittal_planes_are_upright(tmp_path):
    planes = filled(scan(tmp_path, "axial"))
    assert (planes.plane("coronal", 7) == planes.volume[::-1, 7]).all()
    assert (planes.plane("sagittal", 7) == planes.volume[::-1, :, 7]).all()


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("index", [-1, 32])
def test_no_plane_beyond_the_ct(name, index, tmp_path):
    with pytest.raises(IndexError):
        Planes(scan(tmp_path, "axial")).plane(name, index)


def test_a_volume_without_slices_of_its_own_is_there_at_once():
    planes = Planes(CTVolume(HU, (0.7, 0.8, 2.5)))
    assert planes.share_read == 1
    assert (planes.volume == HU).all()


def test_a_damaged_slice_is_one_line(tmp_path):
    files = write_ct(tmp_path, HU, ct_grid(SHAPE))
    series = CTSeries(next(iter(find_series(tmp_path).values())))
    files[3].write_bytes(files[3].read_bytes()[:-500])
    with pytest.raises(InputError, match="image 4: pixels cannot be decoded"):
        Planes(series).plane("axial", 3)
