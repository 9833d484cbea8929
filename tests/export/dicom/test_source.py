from __future__ import annotations

import numpy as np
import pydicom
import pytest

from ctxai.ct.series import read_series
from ctxai.errors import InputError
from ctxai.export import SourceSeries, write_nodule_segmentation, write_parametric_map
from ctxai.export.dicom.segmentation import SegmentedNodule

MISSING = dict.fromkeys(
    (
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "SeriesDate",
        "SeriesTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "PositionReferenceIndicator",
        "Manufacturer",
        "SliceThickness",
        "BodyPartExamined",
    )
)
EMPTY = dict.fromkeys(set(MISSING) - {"BodyPartExamined", "Manufacturer", "SliceThickness"}, "")
INVALID = {
    "PatientBirthDate": "19600000",
    "PatientSex": "UNKNOWN",
    "PatientAge": "sixty",
    "StudyTime": "12:00:00",
    "SeriesDate": "01.01.2000",
    "SpacingBetweenSlices": "99",
    "StudyDescription": "x" * 80,
}


def written(series, tmp_path, provenance) -> list[pydicom.Dataset]:
    source = SourceSeries.from_series(series)
    labels = np.zeros(source.grid.shape, dtype=np.uint8)
    labels[4, 5, 6] = 1
    write_parametric_map(tmp_path / "map.dcm", labels.astype(np.float32), source, provenance)
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, [SegmentedNodule("n")], source, provenance)
    return [pydicom.dcmread(tmp_path / name) for name in ("map.dcm", "seg.dcm")]


@pytest.mark.parametrize("attributes", [MISSING, EMPTY, INVALID], ids=["missing", "empty", "invalid"])
def test_a_scan_with_poor_headers_still_gives_objects(scan, tmp_path, provenance, attributes):
    with pydicom.config.disable_value_validation():
        series = scan(attributes=attributes)
    for dataset in written(series, tmp_path, provenance):
        assert dataset.PatientID == "SYNTHETIC-1"
        assert dataset.PatientSex in ("", "O")
        assert dataset.BodyPartExamined == "CHEST"
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert measures.SpacingBetweenSlices == 2.5
        assert dataset.ContentDate in ("20000101", "19700101")


def test_patient_study_and_frame_of_reference_are_those_of_the_ct(scan, tmp_path, provenance):
    series = scan()
    original = pydicom.dcmread(series.headers[0].path)
    kept = (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"),
        *("StudyTime", "StudyID", "AccessionNumber", "FrameOfReferenceUID"),
    )
    for dataset in written(series, tmp_path, provenance):
        for keyword in kept:
            assert dataset[keyword].value == original[keyword].value, keyword
        assert dataset.SeriesInstanceUID != original.SeriesInstanceUID
        (referenced,) = dataset.ReferencedSeriesSequence
        assert referenced.SeriesInstanceUID == original.SeriesInstanceUID
        assert len(referenced.ReferencedInstanceSequence) == len(series.headers)


@pytest.mark.parametrize(
    ("name", "character_set"),
    [("Mononym", None), ("Müller^Jörg", "ISO_IR 100"), ("Yamada^Tarou=山田^太郎", ["", "ISO 2022 IR 87"]), ("", None)],
)
def test_the_patients_name_is_kept_in_any_script_and_never_stands_in_a_warning(
    scan, tmp_path, provenance, name, character_set, recwarn
):
    series = scan(attributes={"SpecificCharacterSet": character_set, "PatientName": name})
    for dataset in written(series, tmp_path, provenance):
        assert str(dataset.PatientName) == name
    assert [str(warning.message) for warning in recwarn] == []


def test_dates_come_from_the_series_or_from_source_date_epoch(scan, tmp_path, provenance, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    series = scan(attributes={"SeriesDate": "20010203", "SeriesTime": "040506.7"})
    source = SourceSeries.from_series(series)
    assert source.created == ("20010203", "040506.7")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86399")
    assert source.created == ("19700101", "235959")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        _ = source.created


def test_a_scan_without_one_frame_of_reference_is_refused(scan):
    series = scan(attributes={"FrameOfReferenceUID": None})
    with pytest.raises(InputError, match="expected one FrameOfReferenceUID"):
        SourceSeries.from_series(series)


def test_lidc_idri_0001_with_its_empty_attributes_gives_objects(lidc_0001, tmp_path, provenance):
    series = read_series(lidc_0001)
    source = SourceSeries.from_series(series)
    assert len(source.images) == 133
    labels = np.zeros(source.grid.shape, dtype=np.uint8)
    labels[80:85, 300:310, 200:220] = 1
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, [SegmentedNodule("LIDC-IDRI-0001/1")], source, provenance)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    assert dataset.PatientName == ""
    assert dataset.StudyTime is None or dataset.StudyTime == ""
    assert dataset.ContentDate == "20000101"
    assert dataset.NumberOfFrames == 5
