from pathlib import Path

import numpy as np
import pytest

from ctxai.ct.header_values import HeaderValues
from ctxai.errors import InputError

PLACED = {
    "ImagePositionPatient": ["1", "-2", "3.5"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "PixelSpacing": ["0.7", "0.8"],
}


def values(**elements: object) -> HeaderValues:
    return HeaderValues(elements, Path("image.dcm"))


def test_the_image_plane_is_what_the_elements_say():
    position, orientation, spacing = values(**PLACED).image_plane()
    np.testing.assert_array_equal(position, [1, -2, 3.5])
    np.testing.assert_array_equal(orientation, [1, 0, 0, 0, 1, 0])
    assert spacing == (0.7, 0.8)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"ImagePositionPatient": None}, "ImagePositionPatient is absent or no number, expected 3 finite"),
        ({"ImagePositionPatient": ["1", "2", "nan"]}, "ImagePositionPatient"),
        ({"ImagePositionPatient": ["1", "2", "2e5"]}, "further than 100000 mm off"),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "not two unit vectors at right angles"),
        ({"PixelSpacing": "0.7"}, r"PixelSpacing is \[0.7\], expected 2 finite"),
        ({"PixelSpacing": ["0.7", "0"]}, "expected two numbers from 0.001 to 100 mm"),
    ],
)
def test_an_image_that_nothing_places_in_the_patient_is_refused(elements, words):
    with pytest.raises(InputError, match=words):
        values(**PLACED | elements).image_plane()


@pytest.mark.parametrize("uid", [None, "", "1.2/3", "1.2\0", "1" * 65])
def test_a_uid_that_could_do_harm_is_refused(uid):
    assert values(SeriesInstanceUID=" 1.2.3 ").uid("SeriesInstanceUID") == "1.2.3"
    with pytest.raises(InputError, match="SeriesInstanceUID is no UID, expected 1 to 64 digits"):
        values(SeriesInstanceUID=uid).uid("SeriesInstanceUID")


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_without_a_rescale_to_hounsfield_units_there_is_none(missing):
    whole = {"RescaleSlope": "2", "RescaleIntercept": "-1000"}
    assert values(**whole).rescale() == (2, -1000)
    assert np.isnan(values(**whole | {missing: ""}).rescale()).all()
    assert np.isnan(values(**whole, RescaleType="US").rescale()).all()
    with pytest.raises(InputError, match="RescaleSlope is 0"):
        values(**whole | {"RescaleSlope": "0"}).rescale()


def test_only_one_sample_of_whole_bytes_is_a_ct_image():
    assert values(BitsAllocated=16).sample_bytes() == 2
    for elements, words in [
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"BitsAllocated": 16, "SamplesPerPixel": 3}, "SamplesPerPixel is 3"),
        ({"BitsAllocated": 16, "NumberOfFrames": "2"}, "NumberOfFrames is 2"),
    ]:
        with pytest.raises(InputError, match=words):
            values(**elements).sample_bytes()


@pytest.mark.parametrize("rows", [None, 0, 4097])
def test_no_side_is_longer_than_any_ct(rows):
    assert values(Rows=4096).side("Rows") == 4096
    with pytest.raises(InputError, match="expected 1 to 4096"):
        values(Rows=rows).side("Rows")


def test_what_may_be_absent_is_empty():
    assert values(SliceThickness="").number("SliceThickness") is None
    assert values(SliceThickness="2.5").number("SliceThickness") == 2.5
    assert values().text("Manufacturer") == ""
    assert values().texts("ImageType") == ()
    assert values(ImageType="ORIGINAL").texts("ImageType") == ("ORIGINAL",)
