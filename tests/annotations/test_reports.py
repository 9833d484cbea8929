"""Structured Reports with measurement groups."""

import numpy as np
import pydicom
import pytest
from measurement_report import write_report

from ctxai.annotations import CTDescription, annotate, open_annotations
from ctxai.ct.series import CTSeries, read_series
from ctxai.errors import InputError

from synthetic_ct import ct_grid, write_ct


@pytest.fixture
def series(tmp_path) -> CTSeries:
    write_ct(tmp_path / "ct", np.zeros((12, 24, 32), np.int16), ct_grid())
    return read_series(tmp_path / "ct")


def test_a_group_marked_in_an_image_of_another_ct_is_refused(series, tmp_path):
    write_report(series, tmp_path / "sr.dcm", series.grid.centre, 9.0, three=False)
    write_ct(tmp_path / "other", np.zeros((12, 24, 32), np.int16), seed="other")
    other = read_series(tmp_path / "other")
    with pytest.raises(InputError, match="in an image that the CT lacks"):
        annotate(open_annotations(tmp_path / "sr.dcm"), [CTDescription.of_slices(other.headers, "")])


def test_a_report_without_measurement_groups_is_refused(series, tmp_path):
    write_report(series, tmp_path / "sr.dcm", series.grid.centre, 9.0, three=True)
    dataset = pydicom.dcmread(tmp_path / "sr.dcm")
    dataset.ContentSequence = []
    dataset.save_as(tmp_path / "sr.dcm")
    with pytest.raises(InputError, match="no measurement group"):
        open_annotations(tmp_path / "sr.dcm")
