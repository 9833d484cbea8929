from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctxai.ct.geometry import STRICT, Fault, GeometryRules
from ctxai.ct.patch import extract_patch
from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries
from ctxai.ct.slice_sorting import stack
from ctxai.errors import GeometryError, InputError

from synthetic_ct import ct_grid, write_ct

GRID = ct_grid((24, 48, 48), (1.0, 1.0, 2.0))
SLOPE = np.array([3.0, -2.0, 1.5])


def linear_hu() -> np.ndarray:
    slices, rows, columns = np.meshgrid(*map(np.arange, GRID.shape), indexing="ij")
    return np.rint(GRID.to_lps(np.stack([columns, rows, slices], axis=-1)) @ SLOPE).astype(np.int16)


def headers(folder: Path):
    (found,) = find_series(folder).values()
    return found


def edit(path: Path, target: Path | None = None, **attributes: object) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(target or path)


def miss_a_slice(files):
    files[11].unlink()


def repeat_a_position(files):
    edit(files[11], files[11].with_name("again.dcm"), SOPInstanceUID="1.2.3", InstanceNumber=900)


def space_unevenly(files):
    position = pydicom.dcmread(files[11]).ImagePositionPatient
    dataset = pydicom.dcmread(files[11])
    dataset.ImagePositionPatient = [*position[:2], float(position[2]) + 0.5]
    middle = GRID.to_lps(np.array([0, 0, 11]))[2]
    shift = round(SLOPE[2] * (float(dataset.ImagePositionPatient[2]) - middle))
    dataset.PixelData = (dataset.pixel_array + shift).tobytes()
    dataset.SOPInstanceUID = "1.2.4"
    dataset.save_as(files[11].with_name("between.dcm"))


def turn_a_slice(files):
    edit(files[3], ImageOrientationPatient=[0, 1, 0, 1, 0, 0])


def shift_a_slice(files):
    edit(files[3], ImagePositionPatient=[-40, -40, -114])


def other_modality(files):
    for path in files:
        edit(path, Modality="PT")


def no_rescale(files):
    for path in files:
        dataset = pydicom.dcmread(path)
        del dataset.RescaleSlope
        dataset.save_as(path)


BREAKS = {
    miss_a_slice: Fault.MISSING_SLICE,
    repeat_a_position: Fault.DUPLICATED_POSITION,
    space_unevenly: Fault.NON_UNIFORM_SPACING,
    turn_a_slice: Fault.MIXED_ORIENTATION,
    shift_a_slice: Fault.SHIFTED_SLICES,
    other_modality: Fault.WRONG_MODALITY,
    no_rescale: Fault.UNKNOWN_RESCALE,
}


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__)
def test_every_fault_is_named_and_refused_where_no_rule_repairs_it(tmp_path, damage):
    damage(write_ct(tmp_path, linear_hu(), GRID))
    found = stack(headers(tmp_path), STRICT)
    assert BREAKS[damage] in found.report.blocking
    with pytest.raises(GeometryError, match=BREAKS[damage]):
        CTSeries(headers(tmp_path))


@pytest.mark.parametrize("damage", [miss_a_slice, repeat_a_position, space_unevenly], ids=lambda d: d.__name__)
def test_a_repaired_series_gives_the_patch_of_the_sound_one(tmp_path, damage):
    files = write_ct(tmp_path, linear_hu(), GRID)
    sound = extract_patch(CTSeries(headers(tmp_path)), GRID.centre, (16, 16, 16))
    damage(files)
    series = CTSeries(headers(tmp_path), GeometryRules())
    assert series.report.repairs == BREAKS[damage]
    patch = extract_patch(series, GRID.centre, (16, 16, 16))
    assert np.abs(patch.hu.astype(int) - sound.hu).max() <= 1
    np.testing.assert_array_equal(patch.valid, sound.valid)


def test_interpolation_across_uneven_slices_would_be_wrong_by_their_number(tmp_path):
    space_unevenly(write_ct(tmp_path, linear_hu(), GRID))
    series = CTSeries(headers(tmp_path), GeometryRules())
    assert not series.regular
    np.testing.assert_allclose(series.slice_coordinates[[11, 12, 13]], [11, 11.25, 12])
    assert series.grid.shape[0] == 24 and len(series.headers) == 25


def test_a_wide_gap_refuses_only_the_patches_that_touch_it(tmp_path):
    for path in write_ct(tmp_path, linear_hu(), GRID)[11:15]:
        path.unlink()
    series = CTSeries(headers(tmp_path), GeometryRules(max_gap_mm=5))
    with pytest.raises(GeometryError, match="missing slice: the patch touches a gap of 10 mm, at most 5 mm"):
        extract_patch(series, GRID.centre, (16, 16, 16))
    beside = extract_patch(series, GRID.to_lps(np.array([24, 24, 5])), (8, 8, 8))
    assert beside.valid.all()
    wider = CTSeries(headers(tmp_path), GeometryRules(max_gap_mm=10))
    assert extract_patch(wider, GRID.centre, (16, 16, 16)).valid.all()


def test_of_two_images_at_one_position_the_lower_instance_number_is_kept(tmp_path):
    files = write_ct(tmp_path, linear_hu(), GRID)
    edit(files[11], tmp_path / "000.dcm", SOPInstanceUID="1.2.3", InstanceNumber=900, PixelData=b"\0" * (48 * 48 * 2))
    series = CTSeries(headers(tmp_path), GeometryRules())
    np.testing.assert_array_equal(series.read(), linear_hu())
    assert series.regular


@pytest.mark.parametrize("damage", [turn_a_slice, other_modality, no_rescale], ids=lambda d: d.__name__)
def test_a_user_may_allow_what_is_refused_by_default(tmp_path, damage):
    damage(write_ct(tmp_path, linear_hu(), GRID))
    with pytest.raises(GeometryError, match=BREAKS[damage]):
        CTSeries(headers(tmp_path), GeometryRules())
    rules = GeometryRules.named([BREAKS[damage].replace(" ", "-"), "missing-slice"])
    assert BREAKS[damage] in CTSeries(headers(tmp_path), rules).report.repairs


def test_an_unknown_or_unrepairable_fault_in_the_rules_is_refused():
    with pytest.raises(InputError, match="beauty: no such fault; expected some of duplicated-position"):
        GeometryRules.named(["beauty"])
    with pytest.raises(InputError, match="single slice: cannot be repaired"):
        GeometryRules.named(["single-slice"])


def test_slices_thicker_than_their_distance_and_padding_are_noted_and_harmless(tmp_path):
    hu = linear_hu()
    hu[0, 0, 0], hu[0, 0, 1] = -3024, 4000
    files = write_ct(tmp_path, hu, GRID)
    for path in files:
        edit(path, SliceThickness="2.5")
    series = CTSeries(headers(tmp_path))
    series.read(0, 1)
    assert series.report.faults == {Fault.THICKNESS: "slices lie 2 mm apart, SliceThickness is 2.5 mm"}
    assert set(series.pixel_faults) == {Fault.PADDING, Fault.OVERFLOW}
    assert series.read(0, 1)[0, 0, 1] == 4000
