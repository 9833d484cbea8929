from dataclasses import replace

import numpy as np
import pydicom
import pytest
from made_up_lidc import made_up_scan

from ctxai.phantom.scanner.dicom import derived_uid, series_header, write_slice
from ctxai.phantom.scanner.scanner import PADDING_STORED, draw_scanner

SCAN = made_up_scan(np.arange(-100, 0, 2.5), pixel_mm=0.70312498765432)
SCANNER = replace(draw_scanner(np.random.default_rng(0)), circle=True)


@pytest.fixture
def written(tmp_path):
    header = series_header(SCAN, SCANNER, 64, -1024, seed=3)
    write_slice(tmp_path / "a.dcm", header, np.arange(64 * 64, dtype=np.int16).reshape(64, 64), -97.5, 7, ("x",))
    return pydicom.dcmread(tmp_path / "a.dcm")


def test_the_object_says_in_many_places_that_it_is_synthetic(written):
    assert list(written.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    for keyword in ("PatientName", "SeriesDescription", "StudyDescription", "Manufacturer", "ImageComments"):
        assert "synthetic" in str(written[keyword].value).lower()


def test_it_belongs_to_the_real_series_and_has_a_uid_of_its_own(written):
    assert (written.PatientID, written.StudyInstanceUID) == (SCAN.patient_id, SCAN.study_uid)
    assert written.SeriesInstanceUID == SCAN.series_uid
    assert written.SOPInstanceUID.startswith("2.25.")
    assert written.SOPInstanceUID.is_valid
    assert written.FrameOfReferenceUID.startswith("2.25.")


def test_geometry_and_pixels_are_read_back(written):
    assert [float(v) for v in written.ImagePositionPatient][2] == -97.5
    np.testing.assert_allclose(written.PixelSpacing, SCAN.pixel_spacing_mm, rtol=1e-10)
    np.testing.assert_array_equal(written.pixel_array.ravel(), np.arange(64 * 64))
    assert written.RescaleIntercept == -1024
    assert written.PixelPaddingValue == PADDING_STORED


def test_decimal_strings_keep_to_sixteen_characters(written):
    for keyword in ("PixelSpacing", "ImagePositionPatient"):
        assert all(len(str(v.original_string)) <= 16 for v in written[keyword].value)


def test_uids_follow_from_what_they_are_made_of():
    assert derived_uid("a", 1) == derived_uid("a", 1)
    assert derived_uid("a", 1) != derived_uid("a", 2)
