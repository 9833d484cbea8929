"""Enhanced CT against GDCM (through SimpleITK) and highdicom, and against the same volume as single images."""

import shutil
import subprocess

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from enhanced_ct import write_enhanced
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from ctxai.ct.geometry import Fault
from ctxai.ct.header_table import read_headers, write_headers
from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries, read_series
from ctxai.errors import GeometryError, InputError

from synthetic_ct import SCANS, ct_grid, write_ct

SHUFFLED = [7, 0, 11, 3, 9, 1, 5, 10, 2, 8, 4, 6]
ORIENTED = ["axial", "feet first", "oblique by 20 degrees", "coronal"]


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1024, 2000, (12, 24, 32)).astype(np.int16)


def grid_of(scan: str, **options):
    return ct_grid(**{name: value for name, value in SCANS[scan].items() if name != "file_order"}, **options)


def assert_same(series: CTSeries, hu: np.ndarray, grid) -> None:
    np.testing.assert_array_equal(series.read(), hu)
    np.testing.assert_allclose(series.grid.affine, grid.affine, atol=1e-6)


@pytest.mark.parametrize("scan", ORIENTED)
def test_values_and_places_are_those_of_the_frames_in_any_order(tmp_path, scan):
    hu, grid = voxels(), grid_of(scan)
    write_enhanced(tmp_path / "ct.dcm", hu, grid, order=SHUFFLED)
    assert_same(read_series(tmp_path), hu, grid)
    assert read_series(tmp_path).multiframe


@pytest.mark.parametrize("scan", ORIENTED)
def test_gdcm_and_highdicom_put_the_same_values_at_the_same_places(tmp_path, scan):
    path = write_enhanced(tmp_path / "ct.dcm", voxels(), grid_of(scan))
    series = read_series(path)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(series.read(), sitk.GetArrayFromImage(image))
    for index in ((0, 0, 0), (31, 23, 11), (5, 17, 3)):
        np.testing.assert_allclose(series.grid.to_lps(index), image.TransformIndexToPhysicalPoint(index), atol=1e-4)
    volume = hd.imread(path).get_volume()
    corner = volume.map_indices_to_reference(np.array([[0, 0, 0], [11, 23, 31]]))
    for indices, lps in zip(((0, 0, 0), (11, 23, 31)), corner, strict=True):
        where = np.rint(series.grid.to_index(lps)).astype(int)
        np.testing.assert_allclose(series.grid.to_lps(where), lps, atol=1e-4)
        assert volume.array[indices] == series.read()[tuple(where[::-1])]


def test_every_frame_has_its_own_rescaling(tmp_path):
    hu = voxels() // 2 * 2
    write_enhanced(tmp_path / "ct.dcm", hu, ct_grid(), rescale=lambda number: (1.0 + number % 2, -1024.0 - number * 2))
    np.testing.assert_array_equal(read_series(tmp_path).read(), hu)


@pytest.mark.parametrize("scan", ["axial", "oblique by 20 degrees"])
def test_a_legacy_converted_ct_of_highdicom_is_the_ct_that_it_was_converted_from(tmp_path, scan):
    hu, grid = voxels(), grid_of(scan)
    images = [pydicom.dcmread(file) for file in write_ct(tmp_path / "single", hu, grid)]
    enhanced = hd.legacy.LegacyConvertedEnhancedCTImage(images, hd.UID(), 7, hd.UID(), 1, require_volume=False)
    (tmp_path / "converted").mkdir()
    enhanced.save_as(tmp_path / "converted" / "ct.dcm")
    assert_same(read_series(tmp_path / "converted"), hu, grid)


@pytest.mark.parametrize("tool", ["implicit", "deflated", "big endian", "jpeg", "rle", "jpeg-ls"])
def test_frames_are_the_same_in_every_transfer_syntax(tmp_path, tool):
    hu = voxels()
    path = write_enhanced(tmp_path / "plain.dcm", hu, ct_grid(), order=SHUFFLED)
    (tmp_path / "ct").mkdir()
    coded = tmp_path / "ct" / "ct.dcm"
    commands = {"big endian": ["dcmconv", "+tb"], "jpeg": ["dcmcjpeg", "+e1"], "rle": ["dcmcrle"]}
    if tool in commands:
        if shutil.which(commands[tool][0]) is None:
            pytest.skip("no dcmtk")
        subprocess.run([*commands[tool], path, coded], check=True)
    else:
        dataset = pydicom.dcmread(path)
        syntax = {
            "implicit": ImplicitVRLittleEndian,
            "deflated": DeflatedExplicitVRLittleEndian,
            "jpeg-ls": JPEGLSLossless,
        }[tool]
        if tool == "jpeg-ls":
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(coded, implicit_vr=tool == "implicit", little_endian=True)
    assert_same(read_series(coded.parent), hu, ct_grid())


@pytest.mark.parametrize(
    "of_phase",
    [
        lambda phase: {"FrameAcquisitionNumber": phase + 1},
        lambda phase: {"TemporalPositionIndex": phase + 1},
        lambda phase: {"StackID": str(phase + 1)},
        lambda phase: {"FrameAcquisitionDateTime": f"2000010112000{phase}"},
    ],
    ids=["acquisition", "temporal position", "stack", "time"],
)
@pytest.mark.parametrize("objects", [1, 2], ids=["one object", "two objects"])
def test_phases_are_told_apart(tmp_path, of_phase, objects):
    first, second = voxels(0), voxels(1)
    if objects == 2:
        for phase, hu in enumerate((first, second)):
            write_enhanced(tmp_path / f"{phase}.dcm", hu, ct_grid(), content=lambda _, p=phase: of_phase(p))
        other = pydicom.dcmread(tmp_path / "1.dcm")
        other.SOPInstanceUID = "1.2.3.4"
        other.save_as(tmp_path / "1.dcm")
    else:
        twice = np.concatenate([first, second])
        path = write_enhanced(
            tmp_path / "ct.dcm", twice, ct_grid(twice.shape), content=lambda number: of_phase(number // 12)
        )
        dataset = pydicom.dcmread(path)
        frames = dataset.PerFrameFunctionalGroupsSequence
        for one, same in zip(frames[12:], frames[:12], strict=True):
            one.PlanePositionSequence = same.PlanePositionSequence
        dataset.save_as(path)
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.read(), first)
    assert Fault.SEVERAL_ACQUISITIONS in series.report.faults


def test_a_copy_of_the_object_is_used_once_and_a_missing_frame_is_found(tmp_path):
    path = write_enhanced(tmp_path / "ct.dcm", voxels(), ct_grid())
    shutil.copy(path, tmp_path / "copy.dcm")
    np.testing.assert_array_equal(read_series(tmp_path).read(), voxels())
    (tmp_path / "copy.dcm").unlink()
    write_enhanced(path, voxels(), ct_grid(), order=[0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    with pytest.raises(GeometryError, match="missing slice"):
        read_series(tmp_path)


def test_kept_headers_of_frames_are_the_same(tmp_path):
    write_enhanced(tmp_path / "tree" / "ct.dcm", voxels(), ct_grid())
    found = find_series(tmp_path / "tree")
    write_headers(tmp_path / "headers.parquet", tmp_path / "tree", found)
    (kept,) = read_headers(tmp_path / "headers.parquet", tmp_path / "tree").values()
    assert [header.frame for header in kept] == list(range(12))
    np.testing.assert_array_equal(CTSeries(kept).read(), voxels())


def test_results_depend_on_the_frames_that_are_used(tmp_path):
    write_enhanced(tmp_path / "ct.dcm", voxels(), ct_grid())
    (headers,) = find_series(tmp_path).values()
    assert CTSeries(headers[:6]).content_sha256 != CTSeries(headers[6:]).content_sha256


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: d.PerFrameFunctionalGroupsSequence.pop(), "12 frames with 11 items"),
        (lambda d: delattr(d, "PerFrameFunctionalGroupsSequence"), "with 0 items"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-100]), "cut short"),
        (lambda d: delattr(d, "SharedFunctionalGroupsSequence"), "absent"),
        (lambda d: setattr(d, "NumberOfFrames", 2_000_000_000), "2000000000 frames"),
    ],
    ids=["frames", "no frames", "pixels", "shared groups", "claim"],
)
def test_a_damaged_object_is_refused_in_one_line(tmp_path, damage, words):
    path = write_enhanced(tmp_path / "ct.dcm", voxels(), ct_grid())
    dataset = pydicom.dcmread(path)
    damage(dataset)
    dataset.save_as(path)
    with pytest.raises(InputError, match=words) as error:
        read_series(path)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of an Enhanced CT of 4 frames."""
    folder = tmp_path_factory.mktemp("whole")
    return write_enhanced(folder / "ct.dcm", voxels()[:4, :6, :8], ct_grid((4, 6, 8))).read_bytes()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_changed_byte_ends_in_anything_but_an_answer_or_one_line(whole, tmp_path_factory, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(128, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.dcm"
    path.write_bytes(content[: len(content) - data.draw(st.sampled_from([0, 0, 0, 100, 1000]))])
    try:
        read_series(path).read()
    except InputError as error:
        assert "\n" not in str(error)
