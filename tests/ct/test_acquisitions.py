"""Series whose images belong to several volumes."""

import shutil
from itertools import product

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxai.ct.geometry import Fault, GeometryRules
from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries, read_series
from ctxai.errors import GeometryError

from synthetic_ct import ct_grid, write_ct

LENIENT = GeometryRules()
#: Attributes that tell volumes apart, and values of two.
VALUES = {
    "AcquisitionNumber": (1, 2),
    "TemporalPositionIdentifier": (1, 2),
    "NominalPercentageOfCardiacPhase": (30, 75),
    "KVP": ("80", "140"),
    "ConvolutionKernel": ("B30f", "B70f"),
    "AcquisitionTime": ("120000", "120500"),
}


def voxels(seed: int = 0, slices: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1024, 2000, (slices, 24, 32)).astype(np.int16)


def edit(file, **attributes) -> None:
    dataset = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file)


def phases(folder, keyword, values, *, offset_mm: float = 0.0, second_slices: int = 12, number: int = 0):
    """Two volumes in one series that differ in one attribute."""
    first, second = voxels(0), voxels(1)[:second_slices]
    files = write_ct(folder / "a", first, attributes={keyword: values[0]})
    grid = ct_grid((second_slices, 24, 32), origin_lps=(-50, -40, -120 + offset_mm))
    others = write_ct(folder / "b", second, grid, seed="b", attributes={keyword: values[1]})
    one = pydicom.dcmread(files[0])
    shared = {name: one[name].value for name in ("SeriesInstanceUID", "FrameOfReferenceUID") if name != keyword}
    for file in others:
        edit(file, **shared)
    return first, second


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("AcquisitionNumber", (1, 2)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("NominalPercentageOfCardiacPhase", (30, 75)),
        ("TriggerTime", ("100", "600")),
        ("KVP", ("80", "140")),
        ("ConvolutionKernel", ("B30f", "B70f")),
        ("AcquisitionTime", ("120000", "120500")),
        ("FrameOfReferenceUID", ("1.2.3", "1.2.4")),
    ],
)
@pytest.mark.parametrize("offset_mm", [0.0, 1.25], ids=["same positions", "between"])
def test_one_acquisition_is_used_and_all_are_named(tmp_path, caplog, keyword, values, offset_mm):
    first, _ = phases(tmp_path, keyword, values, offset_mm=offset_mm)
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.read(), first)
    text = series.report.faults[Fault.SEVERAL_ACQUISITIONS]
    assert keyword in text and f"used: {values[0]}" in text
    assert "several acquisitions" in caplog.text


def test_the_acquisition_with_the_most_slices_is_used(tmp_path):
    phases(tmp_path, "AcquisitionNumber", (2, 1), second_slices=7)
    assert len(read_series(tmp_path).headers) == 12


def test_acquisitions_that_follow_one_another_are_one_volume(tmp_path):
    hu = voxels()
    for number, file in enumerate(write_ct(tmp_path, hu)):
        edit(file, AcquisitionNumber=1 + number // 4, AcquisitionTime=f"1200{number:02d}")
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.read(), hu)
    assert Fault.SEVERAL_ACQUISITIONS not in series.report.faults


@pytest.mark.parametrize("name", ["2", "2.0", "AcquisitionNumber=2"])
def test_the_acquisition_that_is_named_is_used(tmp_path, name):
    _, second = phases(tmp_path, "AcquisitionNumber", (1, 2))
    np.testing.assert_array_equal(read_series(tmp_path, acquisitions=[name]).read(), second)


def test_an_acquisition_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    phases(tmp_path, "AcquisitionNumber", (1, 2))
    with pytest.raises(GeometryError, match=r"no such acquisition: 3: 2 acquisitions by Acqu.* \(slices of 1"):
        read_series(tmp_path, acquisitions=["3"])


def test_a_series_of_one_acquisition_needs_no_choice(tmp_path):
    hu = voxels()
    write_ct(tmp_path, hu)
    np.testing.assert_array_equal(read_series(tmp_path, acquisitions=["3"]).read(), hu)


def volumes_of(folder, attributes, sizes, offset_mm, order):
    """Volumes in one series, one for each set of attributes; each voxel's value tells its volume."""
    for number, (each, slices) in enumerate(zip(attributes, sizes, strict=True)):
        hu = np.full((slices, 4, 4), 100 * (number + 1), np.int16)
        grid = ct_grid(hu.shape, origin_lps=(-50, -40, -120 + number * offset_mm))
        shared = {"SeriesInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
        write_ct(folder / f"{order[number]}-{number}", hu, grid, seed=str(number), attributes=shared | each)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_volumes_are_never_mixed_whatever_tells_them_apart(tmp_path_factory, data):
    """Up to four volumes by up to two attributes, of different sizes, shifted by a part of a slice or not at all."""
    keywords = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=2, unique=True))
    attributes = [dict(zip(keywords, each, strict=True)) for each in product(*(VALUES[name] for name in keywords))]
    equal = data.draw(st.booleans())
    sizes = [9] * len(attributes) if equal else [data.draw(st.integers(6, 12)) for _ in attributes]
    offset = data.draw(st.sampled_from([0.0, 0.0, 1.25, 0.6]))
    folder = tmp_path_factory.mktemp("ct")
    volumes_of(folder, attributes, sizes, offset, data.draw(st.permutations(range(len(attributes)))))
    try:
        series = read_series(folder)
    except GeometryError as error:
        assert "tells apart" in str(error) or "spacing" in str(error) or "duplicated" in str(error)
        assert len(keywords) > 1  # one attribute always tells
        return
    found = np.unique(series.read())
    assert len(found) == 1 and len(series.headers) == sizes[int(found[0]) // 100 - 1]
    assert series.report.faults[Fault.SEVERAL_ACQUISITIONS]
    if equal and len(keywords) == 2 and offset == 0:
        last = [f"{name}={value}" for name, value in attributes[-1].items()]
        assert (read_series(folder, acquisitions=last).read() == 100 * len(attributes)).all()


@pytest.mark.parametrize("instance", ["absent", "equal", "all doubled"])
def test_two_volumes_that_nothing_tells_apart_are_refused(tmp_path, instance):
    phases(tmp_path, "SeriesDescription", ("a", "b"))
    for number, file in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        edit(file, InstanceNumber={"absent": None, "equal": 1, "all doubled": number}[instance])
    (headers,) = find_series(tmp_path).values()
    with pytest.raises(GeometryError, match="images that nothing tells apart"):
        CTSeries(headers, LENIENT)


def test_byte_equal_copies_of_files_are_left_out_and_counted(tmp_path):
    hu = voxels()
    for file in write_ct(tmp_path, hu)[::3]:
        shutil.copy(file, file.with_suffix(".copy"))
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.read(), hu)
    assert series.report.faults[Fault.COPIES].startswith("4 byte-equal copies")


def test_one_uid_for_different_images_is_refused(tmp_path):
    files = write_ct(tmp_path, voxels())
    uid = pydicom.dcmread(files[0]).SOPInstanceUID
    for file in files:
        edit(file, SOPInstanceUID=uid)
    with pytest.raises(GeometryError, match="repeated SOP Instance UID"):
        read_series(tmp_path)


def test_images_of_several_frames_of_reference_are_told(tmp_path, caplog):
    for file in write_ct(tmp_path, voxels())[6:]:
        edit(file, FrameOfReferenceUID="1.2.3")
    assert Fault.SEVERAL_FRAMES in read_series(tmp_path).report.faults
    assert "several frames of reference: the images name 2" in caplog.text


@pytest.mark.parametrize("spacing", [10.0, 20.0])
def test_thin_slices_far_apart_are_told(tmp_path, caplog, spacing):
    write_ct(tmp_path, voxels(), ct_grid(spacing_mm=(0.7, 0.8, spacing)), attributes={"SliceThickness": "1"})
    assert Fault.SPARSE in read_series(tmp_path).report.faults
    assert f"lie {spacing:g} mm apart" in caplog.text


def test_two_slices_are_told(tmp_path, caplog):
    write_ct(tmp_path, voxels(slices=2))
    assert Fault.FEW_SLICES in read_series(tmp_path).report.faults
    assert "2 slices in all" in caplog.text


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_regular(tmp_path):
    grid = ct_grid((40, 24, 32), spacing_mm=(0.7, 0.8, 0.75))
    for file in write_ct(tmp_path, voxels(slices=40), grid):
        position = [float(value) for value in pydicom.dcmread(file).ImagePositionPatient]
        edit(file, ImagePositionPatient=[*position[:2], round(position[2], 1)])
    series = read_series(tmp_path)
    assert series.regular
    assert series.grid.slice_distance_mm == pytest.approx(0.75, abs=0.003)


def test_a_slice_beside_its_grid_is_still_found(tmp_path):
    files = write_ct(tmp_path, voxels())
    position = [float(value) for value in pydicom.dcmread(files[6]).ImagePositionPatient]
    edit(files[6], ImagePositionPatient=[*position[:2], position[2] + 0.4])
    with pytest.raises(GeometryError, match="non-uniform spacing"):
        read_series(tmp_path)


def test_pixel_spacings_that_differ_by_rounding_are_one(tmp_path):
    files = write_ct(tmp_path, voxels())
    edit(files[4], PixelSpacing=["0.800001", "0.7"])
    assert read_series(tmp_path).regular


@pytest.mark.parametrize("keyword", ["InstanceNumber", "SliceThickness"])
@pytest.mark.parametrize("text", [b"many", b""])
def test_a_value_that_nothing_needs_refuses_nothing(tmp_path, keyword, text):
    hu = voxels()
    for file in write_ct(tmp_path, hu):
        dataset = pydicom.dcmread(file)
        dataset[keyword]._value = text.decode()
        dataset.save_as(file)
    np.testing.assert_array_equal(read_series(tmp_path).read(), hu)
