from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk

from ctxai.ct.series import read_series
from ctxai.inference.formats.base import format_names
from ctxai.inference.formats.readers import Readers
from ctxai.inference.nodules import candidates_of
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overlays import write_overlays

from made_up_readings import marked, nodule, outlined, output_of, row, scan


def test_each_reading_is_a_segmentation_and_a_group_of_coded_ratings(tmp_path):
    series = scan(tmp_path / "ct")
    read_nodule = outlined(series)
    Readers().write_report(output_of(tmp_path, series, [marked(series), read_nodule]), [])
    folder = tmp_path / "dicom"
    assert len(list(folder.rglob("*.dcm"))) == 3
    tracked = {}
    for number in (1, 2):
        segmentation = hd.seg.segread(folder / "seg" / f"reading_{number}.dcm")
        (segment,) = segmentation.SegmentSequence
        assert segment.SegmentLabel == f"n-1 reading {number}"
        tracked[segment.SegmentLabel] = segment.TrackingUID
        volume = segmentation.get_volume(combine_segments=True)
        places = np.argwhere(volume.array) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        expected = np.argwhere(read_nodule.candidate.masks.masks[number - 1]) + np.array([7, 20, 20])
        found = np.rint(series.grid.to_index(places)[:, ::-1]).astype(int)
        assert {tuple(one) for one in found} == {tuple(one) for one in expected}
    report = hd.sr.srread(folder / "sr" / "readings.dcm")
    groups = {group.tracking_identifier: group for group in report.content.get_planar_roi_measurement_groups()}
    assert {name: group.tracking_uid for name, group in groups.items()} == tracked
    ratings = [
        {e.name.meaning: e.value.meaning for e in groups[f"n-1 reading {n}"].get_qualitative_evaluations()}
        for n in (1, 2)
    ]
    assert ratings[0]["Malignancy"] == "Moderately suspicious"
    assert ratings[0]["Texture"] == "Solid"
    assert ratings[1]["Malignancy"] == "Moderately unlikely"
    assert "Texture" not in ratings[1]
    assert report.SeriesDescription == "Readers' ratings - research use only"


def test_where_no_reader_drew_anything_nothing_is_written(tmp_path):
    series = scan(tmp_path / "ct")
    Readers().write_report(output_of(tmp_path / "out", series, [marked(series)]), [])
    assert not (tmp_path / "out").exists()


def test_on_a_real_scan_four_readers_stand_beside_the_map_in_one_study(lidc_0001, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    for header in read_series(lidc_0001).headers[82:99]:
        (part / header.path.name).symlink_to(header.path)
    series = read_series(part)
    (candidate,) = candidates_of(series, None)
    assert len(candidate.readings) == 4
    rows = [row(diameter_mm=candidate.diameter_mm)]
    run = SimpleNamespace(name="run", weights_sha256="0" * 64, own=None)
    method = SimpleNamespace(name="cdam", options={}, reference="a paper", signed=True)
    options = ExplainOptions(part, run, [method], ["malignancy"], (), format_names())
    write_overlays(tmp_path / "out", series, [nodule(series, candidate)], rows, options)
    datasets = {path.name: pydicom.dcmread(path) for path in (tmp_path / "out" / "dicom").rglob("*.dcm")}
    assert {dataset.StudyInstanceUID for dataset in datasets.values()} == {series.study_uid}
    spatial = [dataset for dataset in datasets.values() if "Rows" in dataset]
    assert {dataset.FrameOfReferenceUID for dataset in spatial} == {series.headers[0].frame_of_reference_uid}
    places = sitk.ImageSeriesReader()
    places.SetFileNames(places.GetGDCMSeriesFileNames(str(part)))
    image = places.Execute()
    for number in range(4):
        segmentation = hd.seg.segread(tmp_path / "out" / "dicom" / "seg" / f"reading_{number + 1}.dcm")
        volume = segmentation.get_volume(combine_segments=True)
        found = np.argwhere(volume.array) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        drawn = np.argwhere(candidate.masks.masks[number]) + np.array(candidate.masks.start)
        expected = [image.TransformIndexToPhysicalPoint(voxel[::-1].tolist()) for voxel in drawn]
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=0.01)
    groups = hd.sr.srread(tmp_path / "out" / "dicom" / "sr" / "readings.dcm").content
    coded = [
        {e.name.meaning: e.value.meaning for e in group.get_qualitative_evaluations()}["Malignancy"]
        for group in groups.get_planar_roi_measurement_groups()
    ]
    assert coded == ["Highly suspicious", "Highly suspicious", "Highly suspicious", "Moderately suspicious"]
