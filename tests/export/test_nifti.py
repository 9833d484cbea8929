from __future__ import annotations

import gzip
import json
import logging

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ctxai.errors import GeometryError, InputError
from ctxai.export import write_nifti
from ctxai.export.nifti import sidecar_of

from synthetic_ct import SCANS, ct_grid

SHAPE = (3, 4, 5)
CORNERS = np.array([[0, 0, 0], [4, 0, 0], [0, 3, 0], [0, 0, 2], [2, 1, 1]])  # column, row, slice


def grid_of(name: str, **more):
    return ct_grid(SHAPE, **{key: value for key, value in SCANS[name].items() if key != "file_order"}, **more)


def numbered(dtype) -> np.ndarray:
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


@pytest.mark.parametrize("name", SCANS)
def test_nibabel_and_simpleitk_find_each_voxel_where_the_grid_has_it(tmp_path, name):
    grid = grid_of(name)
    write_nifti(tmp_path / "map.nii.gz", numbered(np.float32), grid)
    lps = grid.to_lps(CORNERS)

    read = nib.load(tmp_path / "map.nii.gz")
    for form, code in (read.get_sform(coded=True), read.get_qform(coded=True)):
        assert code == 1
        ras = CORNERS @ form[:3, :3].T + form[:3, 3]
        np.testing.assert_allclose(ras * [-1, -1, 1], lps, atol=1e-3)
    np.testing.assert_array_equal(np.asarray(read.dataobj).transpose(2, 1, 0), numbered(np.float32))

    image = sitk.ReadImage(tmp_path / "map.nii.gz")
    found = [image.TransformIndexToPhysicalPoint(index.tolist()) for index in CORNERS]
    np.testing.assert_allclose(found, lps, atol=1e-3)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), numbered(np.float32))


@pytest.mark.parametrize(
    ("given", "stored"), [(np.float32, "<f4"), (bool, "|u1"), (np.uint8, "|u1"), (np.uint16, "<u2"), (np.int16, "<i2")]
)
def test_values_keep_their_type(tmp_path, given, stored):
    write_nifti(tmp_path / "a.nii.gz", numbered(given), grid_of("axial"))
    read = nib.load(tmp_path / "a.nii.gz")
    assert np.dtype(read.get_data_dtype()) == np.dtype(stored)
    np.testing.assert_array_equal(np.asarray(read.dataobj).transpose(2, 1, 0), numbered(given))
    assert read.header.get_xyzt_units()[0] == "mm"


def test_a_tilted_scan_has_an_sform_only_and_it_is_right(tmp_path, caplog):
    grid = grid_of("axial", tilt_deg=12.0)
    with caplog.at_level(logging.INFO):
        write_nifti(tmp_path / "tilted.nii.gz", numbered(np.int16), grid)
    read = nib.load(tmp_path / "tilted.nii.gz")
    assert read.get_qform(coded=True)[1] == 0
    form, code = read.get_sform(coded=True)
    assert code == 1
    np.testing.assert_allclose((CORNERS @ form[:3, :3].T + form[:3, 3]) * [-1, -1, 1], grid.to_lps(CORNERS), atol=1e-3)
    np.testing.assert_allclose(read.affine, form)
    assert "sform and no qform" in caplog.text
    assert json.loads((tmp_path / "tilted.json").read_text())["sform_only"] is True


def test_same_inputs_make_the_same_bytes_under_any_name(tmp_path):
    for name in ("one", "two"):
        write_nifti(tmp_path / f"{name}.nii.gz", numbered(np.float32), grid_of("axial"))
    one, two = ((tmp_path / f"{name}.nii.gz").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one[4:8] == bytes(4)  # gzip's time stamp
    write_nifti(tmp_path / "plain.nii", numbered(np.float32), grid_of("axial"))
    assert (tmp_path / "plain.nii").read_bytes() == gzip.decompress(one)


def test_the_sidecar_says_what_the_map_is(tmp_path, provenance):
    write_nifti(tmp_path / "map.nii.gz", numbered(np.float32), grid_of("axial"), provenance)
    sidecar = json.loads(sidecar_of(tmp_path / "map.nii.gz").read_text())
    assert sidecar["notice"] == "research use only, not for diagnosis"
    assert sidecar["content"] == "explanation map"
    assert sidecar["provenance"]["method"] == "CDAM"
    assert sidecar["provenance"]["weights_sha256"] == provenance.weights_sha256
    assert b"research use only" in nib.load(tmp_path / "map.nii.gz").header["descrip"].item()


def test_wrong_inputs_are_refused_and_leave_no_file(tmp_path):
    grid = grid_of("axial")
    with pytest.raises(GeometryError, match=r"shape \(2, 4, 5\), the grid \(3, 4, 5\)"):
        write_nifti(tmp_path / "a.nii.gz", numbered(np.float32)[:2], grid)
    with pytest.raises(InputError, match="values are float64"):
        write_nifti(tmp_path / "a.nii.gz", numbered(np.float64), grid)
    with pytest.raises(InputError, match=r"\.nii\.gz or \.nii"):
        write_nifti(tmp_path / "a.nrrd", numbered(np.float32), grid)
    assert list(tmp_path.iterdir()) == []
