"""CTs in NIfTI, NRRD and MetaImage files."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ctxai.ct.series import read_series
from ctxai.ct.volume import CTVolume
from ctxai.ct.volume_file import read_image
from ctxai.errors import InputError

from synthetic_ct import CORONAL, FEET_FIRST, ct_grid, rotated, write_ct

HU = np.random.default_rng(0).integers(-1000, 2000, (6, 8, 10)).astype(np.int16)
GRIDS = {"axial": {}, "feet first": {"orientation": FEET_FIRST}, "coronal": {"orientation": CORONAL}}
GRIDS["oblique"] = {"orientation": rotated(20)}


def image(grid, array=HU) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(grid.spacing_mm.tolist())
    made.SetOrigin(grid.affine[:3, 3].tolist())
    made.SetDirection((grid.affine[:3, :3] / grid.spacing_mm).ravel().tolist())
    return made


@pytest.mark.parametrize("orientation", GRIDS)
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.nhdr", "ct.mha", "ct.mhd"])
def test_voxels_and_their_places_are_those_of_the_dicom_series(tmp_path, name, orientation):
    grid = ct_grid(HU.shape, **GRIDS[orientation])
    write_ct(tmp_path / "dicom", HU, grid)
    series = read_series(tmp_path / "dicom")
    sitk.WriteImage(image(series.grid, series.read()), str(tmp_path / name))
    volume = CTVolume.from_file(tmp_path / name)
    np.testing.assert_array_equal(volume.read(), series.read())
    np.testing.assert_allclose(volume.grid.affine, series.grid.affine, atol=1e-4)


@pytest.mark.parametrize("orientation", GRIDS)
def test_nibabel_puts_the_voxels_of_a_nifti_at_the_same_places(tmp_path, orientation):
    grid = ct_grid(HU.shape, **GRIDS[orientation])
    nib.save(nib.Nifti1Image(HU.transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]) @ grid.affine), tmp_path / "ct.nii")
    volume = CTVolume.from_file(tmp_path / "ct.nii")
    np.testing.assert_array_equal(volume.read(), HU)
    np.testing.assert_allclose(volume.grid.affine, grid.affine, atol=1e-4)


@pytest.mark.parametrize(
    "values",
    [(HU - HU.min()).astype(np.uint16), HU.astype(np.float32) / 3000 + 0.34, np.zeros(HU.shape, np.uint8)],
    ids=["shifted", "normalised", "mask"],
)
def test_values_that_are_no_hounsfield_units_are_refused(tmp_path, values):
    sitk.WriteImage(image(ct_grid(HU.shape), values), str(tmp_path / "ct.nii.gz"))
    with pytest.raises(InputError, match="no Hounsfield units"):
        CTVolume.from_file(tmp_path / "ct.nii.gz")


def test_a_header_that_names_voxels_elsewhere_is_refused(tmp_path):
    sitk.WriteImage(image(ct_grid(HU.shape)), str(tmp_path / "ct.mhd"))
    sitk.WriteImage(image(ct_grid(HU.shape)), str(tmp_path / "ct.nhdr"))
    for name, line in (("ct.mhd", "ElementDataFile = "), ("ct.nhdr", "data file: ")):
        for other in ("/etc/hostname", "../secret.raw", "LIST", "part%d.raw 1 2 1"):
            text = (tmp_path / name).read_text(errors="replace")
            start = text.index(line)
            (tmp_path / name).write_text(text[:start] + line + other + "\n")
            with pytest.raises(InputError, match="expected a file beside it"):
                read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nrrd", "ct.mha"])
def test_a_file_that_is_no_volume_is_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a readable volume") as raised:
        read_image(tmp_path / name)
    assert "\n" not in str(raised.value)


NRRD = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 10 8 6\nendian: little\nencoding: raw\n"
DIRECTIONS = "space directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (1,2,3)\n"
MHA = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\n"
END = "DimSize = 10 8 6\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"


def written(tmp_path, text):
    path = tmp_path / ("ct.nrrd" if text.startswith("NRRD") else "ct.mha")
    path.write_bytes(text.encode() + (b"\n" if text.startswith("NRRD") else b"") + HU.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("RAS", (-1, -1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
    ],
)
def test_every_space_of_a_patient_that_nrrd_has_is_lps_afterwards(tmp_path, space, signs):
    image, grid = read_image(written(tmp_path, f"{NRRD}space: {space}\n{DIRECTIONS}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU)
    np.testing.assert_allclose(grid.affine[:3, :3], np.diag(signs) @ np.diag([0.7, 0.8, 2.5]))
    np.testing.assert_allclose(grid.affine[:3, 3], np.array(signs) * (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{NRRD}spacings: 0.7 0.8 2.5\n", "space directions"),
        (f"{NRRD}space dimension: 3\n{DIRECTIONS}", "LPS, RAS or LAS"),
        (f"{NRRD}space: scanner-xyz\n{DIRECTIONS}", "LPS, RAS or LAS"),
        (f"{MHA}ElementSpacing = 1 1 2\n{END}", "TransformMatrix"),
        (f"{MHA}{MATRIX}{END}", "ElementSpacing"),
        (f"{MHA}{MATRIX}ElementSpacing = 1 1 2\nElementToIntensityFunctionSlope = 2\n{END}", "are to be scaled"),
        (f"{MHA}{MATRIX}ElementSpacing = 1 1 2\nElementToIntensityFunctionOffset = -1024\n{END}", "are to be scaled"),
    ],
)
def test_a_header_that_leaves_place_or_values_open_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_image(written(tmp_path, text))


def test_an_intensity_function_that_changes_nothing_is_taken(tmp_path):
    same = "ElementSpacing = 1 1 2\nElementToIntensityFunctionSlope = 1\nElementToIntensityFunctionOffset = 0.0\n"
    image, _ = read_image(written(tmp_path, f"{MHA}{MATRIX}{same}{END}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU)
