from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxai.ct.geometry import Fault
from ctxai.ct.pixels import stored_values
from ctxai.ct.series import AIR_HU, find_series, read_series
from ctxai.errors import GeometryError, InputError

from synthetic_ct import FEET_FIRST, ct_grid, rotated, write_ct

GRIDS = {
    "axial": ct_grid(),
    "feet first": ct_grid(orientation=FEET_FIRST),
    "oblique": ct_grid(orientation=rotated(20)),
    "tilted": ct_grid(tilt_deg=15),
}


def voxels(grid=GRIDS["axial"]):
    return np.random.default_rng(0).integers(-1024, 2000, grid.shape).astype(np.int16)


@pytest.mark.parametrize("name", GRIDS)
def test_voxels_and_their_places_are_those_that_were_written(tmp_path, name):
    grid = GRIDS[name]
    hu = voxels(grid)
    write_ct(tmp_path, hu, grid, file_order=np.random.default_rng(1).permutation(len(hu)))
    series = read_series(tmp_path)
    np.testing.assert_allclose(series.grid.affine, grid.affine, atol=1e-6)
    np.testing.assert_array_equal(series.read(), hu)


def test_slices_ascend_along_the_normal_whatever_the_files_are_called(tmp_path):
    hu = voxels()
    write_ct(tmp_path / "up", hu)
    write_ct(tmp_path / "down", hu, file_order=range(len(hu))[::-1])
    np.testing.assert_array_equal(read_series(tmp_path / "up").read(), read_series(tmp_path / "down").read())


@pytest.mark.parametrize("name", ["axial", "oblique"])
def test_simpleitk_finds_the_same_voxels_at_the_same_places(tmp_path, name):
    write_ct(tmp_path, voxels(GRIDS[name]), GRIDS[name])
    series = read_series(tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), series.read())
    for index in [(0, 0, 0), (31, 23, 11), (5, 7, 3)]:
        point = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(series.grid.to_lps(np.array(index)), point, atol=0.01)


def test_only_the_slices_asked_for_are_read(tmp_path):
    hu = voxels()
    files = write_ct(tmp_path, hu)
    series = read_series(tmp_path)
    for number in (0, 1, 2, 6, 7, 8, 9, 10, 11):
        files[number].unlink()
    np.testing.assert_array_equal(series.read(3, 6), hu[3:6])


def test_padding_outside_the_reconstructed_circle_is_air(tmp_path):
    hu = voxels()
    hu[:, 0, :] = -3024
    write_ct(tmp_path, hu)
    assert (read_series(tmp_path).read()[:, 0] == AIR_HU).all()


def test_a_fractional_rescale_is_rounded_to_whole_hounsfield_units(tmp_path):
    hu = voxels()
    write_ct(tmp_path, hu, attributes={"RescaleSlope": "0.5", "RescaleIntercept": "-1000.25"})
    expected = np.rint((hu.astype(float) + 1024) * 0.5 - 1000.25)
    np.testing.assert_array_equal(read_series(tmp_path).read(), np.clip(expected, AIR_HU, None))


@pytest.mark.parametrize("syntax", [pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless, pydicom.uid.JPEG2000Lossless])
def test_compressed_images_give_the_same_values(tmp_path, syntax):
    grid = ct_grid((3, 64, 72))
    hu = voxels(grid)
    for path in write_ct(tmp_path, hu, grid):
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, encoding_plugin="pylibjpeg" if syntax.name.startswith("JPEG 2000") else "")
        dataset.save_as(path)
    np.testing.assert_array_equal(read_series(tmp_path).read(), hu)


def test_files_that_are_no_ct_images_are_passed_over(tmp_path):
    write_ct(tmp_path, voxels())
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert len(read_series(tmp_path).headers) == 12


def test_a_localizer_is_left_out_and_reported(tmp_path):
    hu = voxels()
    files = write_ct(tmp_path, hu)
    scout = pydicom.dcmread(files[0])
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    scout.save_as(tmp_path / "scout.dcm")
    series = read_series(tmp_path)
    assert len(series.headers) == 12
    assert Fault.LOCALIZER in series.report.faults


def test_a_tilted_gantry_is_reported_and_kept_in_the_affine(tmp_path):
    write_ct(tmp_path, voxels(GRIDS["tilted"]), GRIDS["tilted"])
    assert read_series(tmp_path).report.faults[Fault.TILT].startswith("slices are stacked 15.00 degrees")


def break_nothing(files: list[Path]) -> None:
    for path in files:
        path.unlink()


def break_missing_slice(files: list[Path]) -> None:
    files[5].unlink()


def break_pixels(files: list[Path]) -> None:
    files[5].write_bytes(files[5].read_bytes()[:-200])


def break_orientation(files: list[Path]) -> None:
    edit(files[5], ImageOrientationPatient=[0, 1, 0, 1, 0, 0])


def break_position(files: list[Path]) -> None:
    edit(files[5], ImagePositionPatient=None)


def break_spacing(files: list[Path]) -> None:
    edit(files[5], PixelSpacing=["-1", "1"])


def break_size(files: list[Path]) -> None:
    dataset = pydicom.dcmread(files[5])
    dataset.Rows -= 1
    dataset.PixelData = dataset.PixelData[: dataset.Rows * dataset.Columns * 2]
    dataset.save_as(files[5])


def edit(path: Path, **attributes: object) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (break_nothing, InputError, "no DICOM CT image"),
        (break_missing_slice, GeometryError, "missing slice"),
        (break_pixels, InputError, "file 6 of 12 in the order of names: cut short"),
        (break_orientation, GeometryError, "mixed orientation"),
        (break_position, InputError, "file 6 of 12 in the order of names: ImagePositionPatient"),
        (break_spacing, InputError, "file 6 of 12 in the order of names: PixelSpacing"),
        (break_size, GeometryError, "mixed size"),
    ],
)
def test_a_damaged_series_is_refused_in_one_line_that_says_where(tmp_path, damage, error, words):
    damage(write_ct(tmp_path, voxels()))
    with pytest.raises(error, match=words) as raised:
        read_series(tmp_path).read()
    assert "\n" not in str(raised.value)


def test_the_key_of_a_series_tells_nothing_of_the_patient(tmp_path):
    write_ct(tmp_path, voxels())
    series = read_series(tmp_path)
    assert series.key.isalnum()
    assert len(series.key) == 12
    assert series.series_uid not in series.key


def test_the_real_scan_equals_what_simpleitk_reads(lidc_0001):
    series = read_series(lidc_0001)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(lidc_0001)))
    image = reader.Execute()
    assert series.grid.shape == (133, 512, 512)
    np.testing.assert_allclose(series.grid.spacing_mm, image.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(series.grid.affine[:3, 3], image.GetOrigin(), atol=1e-6)
    expected = sitk.GetArrayFromImage(image)[40:50]
    np.testing.assert_array_equal(series.read(40, 50), np.maximum(expected, AIR_HU))


def test_pixels_that_need_a_decoder_say_how_to_get_one(tmp_path, monkeypatch):
    (file,) = write_ct(tmp_path, np.zeros((1, 8, 8), np.int16))
    image = pydicom.dcmread(file)
    image.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    image.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51 no image"])
    image["PixelData"].VR = "OB"
    image.save_as(file)
    header = find_series(tmp_path).popitem()[1][0]
    decoder = pydicom.pixels.decoders.JPEG2000LosslessDecoder
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"pylibjpeg": ("pylibjpeg>=2.0",)})
    with pytest.raises(InputError, match=r"(?s)missing dependencies.*pip install 'ctxai\[codecs\]'"):
        stored_values(header)


@settings(max_examples=20, deadline=None)
@given(
    slopes=st.lists(st.sampled_from([1.0, 2.0, 0.5, -1.0]), min_size=6, max_size=6),
    intercepts=st.lists(st.sampled_from([0.0, -1024.0, -1000.0]), min_size=6, max_size=6),
    signed=st.lists(st.booleans(), min_size=6, max_size=6),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
)
def test_each_slice_is_read_by_its_own_header(tmp_path_factory, slopes, intercepts, signed, photometric):
    """Rescaling and sign differ from slice to slice; MONOCHROME1 turns the display around, no value."""
    folder = tmp_path_factory.mktemp("ct")
    stored = np.random.default_rng(1).integers(0, 3000, (6, 4, 4))
    window = {"WindowCenter": ["40", "-600"], "WindowWidth": ["400", "1500"], "PhotometricInterpretation": photometric}
    files = write_ct(folder, np.zeros((6, 4, 4), np.int16), attributes=window)
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slopes[number]), str(intercepts[number])
        dataset.PixelRepresentation = int(signed[number])
        dataset.PixelData = stored[number].astype("<u2").tobytes()
        dataset.save_as(file)
    expected = np.rint(stored * np.array(slopes)[:, None, None] + np.array(intercepts)[:, None, None])
    np.testing.assert_array_equal(read_series(folder).read(), np.clip(expected, -1024, 32767))
