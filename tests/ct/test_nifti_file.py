"""NIfTI files as people have them, against SimpleITK where it reads them too."""

import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxai.ct.volume import CTVolume
from ctxai.ct.volume_file import read_image
from ctxai.errors import InputError

from synthetic_ct import CORONAL, ct_grid, rotated

HU = np.random.default_rng(0).integers(-1000, 2000, (6, 8, 10)).astype(np.int16)
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
RAS = TO_RAS @ ct_grid(HU.shape).affine


MOVED = np.eye(4) + np.eye(4, k=3) * 30


def nifti(array=HU, sform=RAS, qform=RAS, kind=nib.Nifti1Image):
    image = kind(array.transpose(2, 1, 0), RAS)
    image.set_sform(sform, code=0 if sform is None else 1)
    image.set_qform(qform, code=0 if qform is None else 1)
    return image


def saved(tmp_path, image, name="ct.nii"):
    nib.save(image, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("forms", [(RAS, RAS), (None, RAS), (RAS, None)], ids=["both", "qform", "sform"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_either_description_of_the_place_is_enough(tmp_path, forms, kind):
    volume = CTVolume.from_file(saved(tmp_path, nifti(sform=forms[0], qform=forms[1], kind=kind)))
    np.testing.assert_allclose(TO_RAS @ volume.grid.affine, RAS, atol=1e-4)
    np.testing.assert_array_equal(volume.hu, HU)


@pytest.mark.parametrize("orientation", [rotated(20), CORONAL])
def test_simpleitk_puts_the_voxels_at_the_same_places(tmp_path, orientation):
    affine = TO_RAS @ ct_grid(HU.shape, orientation=orientation).affine
    path = saved(tmp_path, nifti(sform=affine, qform=affine))
    _, grid = read_image(path)
    other = sitk.ReadImage(str(path))
    for index in ((0, 0, 0), (9, 7, 5)):
        np.testing.assert_allclose(grid.to_lps(index), other.TransformIndexToPhysicalPoint(index), atol=1e-3)


@pytest.mark.parametrize(
    "change", [np.diag([-1.0, 1, 1, 1]), np.diag([1.0, 1, -1, 1]), np.eye(4) + np.eye(4, k=3) * 30]
)
def test_two_descriptions_that_disagree_are_refused(tmp_path, change):
    with pytest.raises(InputError, match="sform and its qform"):
        read_image(saved(tmp_path, nifti(qform=change @ RAS)))


def test_a_file_that_says_nowhere_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not say where its voxels are"):
        read_image(saved(tmp_path, nifti(sform=None, qform=None)))


def test_slices_of_a_tilted_gantry_stay_where_the_sform_puts_them(tmp_path):
    grid = ct_grid(HU.shape, tilt_deg=15)
    volume = CTVolume.from_file(saved(tmp_path, nifti(sform=TO_RAS @ grid.affine, qform=None)))
    np.testing.assert_allclose(volume.grid.affine, grid.affine, atol=1e-4)


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_other_units_of_length_become_millimetres(tmp_path, unit):
    factor = {"meter": 1e-3, "micron": 1e3}[unit]
    affine = np.diag([factor, factor, factor, 1]) @ RAS
    image = nib.Nifti1Image(HU.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units(unit)
    volume = CTVolume.from_file(saved(tmp_path, image))
    np.testing.assert_allclose(TO_RAS @ volume.grid.affine, RAS, atol=1e-3)


def test_scaled_big_endian_and_float_values_are_their_hounsfield_units(tmp_path):
    for number, dtype in enumerate([">i2", ">f4", "<f8", "<i4", "<i8"]):
        image = nib.Nifti1Image(HU.astype(dtype).transpose(2, 1, 0), RAS, dtype=np.dtype(dtype))
        np.testing.assert_array_equal(CTVolume.from_file(saved(tmp_path, image, f"{number}.nii")).hu, HU)
    content = bytearray(nifti().to_bytes())
    struct.pack_into("<ff", content, 112, 0.5, -100.0)  # scl_slope and scl_inter
    (tmp_path / "scaled.nii").write_bytes(content)
    np.testing.assert_array_equal(CTVolume.from_file(tmp_path / "scaled.nii").hu, np.rint(HU / 2.0 - 100))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.where(HU < -900, np.nan, HU).astype(np.float32), "no numbers"),
        ((HU.astype(int) + 1024).astype(np.uint16), "no Hounsfield units"),
        ((HU // 16).astype(np.int8), "no Hounsfield units"),
        (HU.astype(np.complex64), "expected one number in a voxel"),
    ],
    ids=["NaN", "shifted by 1024", "int8", "complex"],
)
def test_values_that_are_no_hounsfield_units_are_refused(tmp_path, array, words):
    with pytest.raises(InputError, match=words):
        CTVolume.from_file(saved(tmp_path, nib.Nifti1Image(array.transpose(2, 1, 0), RAS)))


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_fourth_axis_of_one_is_none_and_another_is_refused(tmp_path, repeats):
    array = np.repeat(HU.transpose(2, 1, 0)[..., None], repeats, axis=3)
    path = saved(tmp_path, nib.Nifti1Image(array, RAS))
    if repeats == 1:
        np.testing.assert_array_equal(CTVolume.from_file(path).hu, HU)
    else:
        with pytest.raises(InputError, match="one volume of three dimensions"):
            CTVolume.from_file(path)


@settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6), cut=st.integers(0, 3)
)
def test_no_damaged_file_ends_in_anything_but_one_line(tmp_path_factory, edits, cut):
    path = tmp_path_factory.getbasetemp() / "damaged.nii"
    content = bytearray(nifti().to_bytes())
    for place, byte in edits:
        content[place] = byte
    path.write_bytes(content[: len(content) - cut * 300])
    try:
        read_image(path)
    except InputError as error:
        assert "\n" not in str(error)
