"""Made-up readings of a synthetic scan: what is written of them, and what is said."""

from __future__ import annotations

from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from ctxai.ct.patch import extract_patch
from ctxai.ct.series import CTSeries, read_series
from ctxai.explain.fuse import FusedMap
from ctxai.export import Provenance, SourceSeries
from ctxai.inference.dicom_reports import slices_of, write_colour_slices, write_pdf, write_readings
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.nodules import NoduleCandidate, candidates_of
from ctxai.inference.overlays import FORMATS, write_overlays
from ctxai.inference.summary import summarise_nodule
from ctxai.lidc.consensus import ReaderMasks

from synthetic_ct import ct_grid, write_ct

SHAPE = (20, 48, 50)
KEY = ("cdam", "malignancy")
PROVENANCE = Provenance("cdam", "malignancy", run="vits8", weights_sha256="0" * 64)


@pytest.fixture
def series(tmp_path) -> CTSeries:
    hu = np.random.default_rng(0).integers(-1000, 0, SHAPE).astype(np.int16)
    write_ct(tmp_path / "ct", hu, ct_grid(SHAPE, (1.0, 1.0, 2.0)))
    return read_series(tmp_path / "ct")


def nodule(series: CTSeries, candidate: NoduleCandidate) -> ExplainedNodule:
    patch = extract_patch(series, candidate.centre_lps, spacing_mm=1.0)
    values = np.zeros(patch.hu.shape, np.float32)
    values[30:34, 28:36, 30:40] = 0.5
    fused = FusedMap(values, np.zeros_like(values), np.ones(values.shape, bool))
    return ExplainedNodule(candidate, patch, None, {}, {KEY: fused})


@pytest.fixture
def read_nodule(series) -> ExplainedNodule:
    """Two readers, who drew other slices and gave other ratings; one rating is beyond its scale."""
    masks = np.zeros((2, 4, 10, 12), dtype=bool)
    masks[0, 0:3, 2:8, 3:9] = True
    masks[1, 1:4, 3:9, 4:11] = True
    readings = ({"malignancy": 4, "texture": 5}, {"malignancy": 2, "texture": 7})
    centre = series.grid.to_lps(np.array([26.0, 25.0, 8.5]))
    candidate = NoduleCandidate("n-1", centre, 7.0, ReaderMasks(masks, (7, 20, 20)), {"malignancy": 3.0}, 2, readings)
    return nodule(series, candidate)


@pytest.fixture
def marked_nodule(series) -> ExplainedNodule:
    return nodule(series, NoduleCandidate("point", series.grid.to_lps(np.array([20.0, 21.0, 3.2])), 6.0))


def row(**more: object) -> dict:
    low_and_high = {"malignancy": 3.25, "malignancy_low": 2.0, "malignancy_high": 4.5, "readers_malignancy": 3.0}
    return {"in_sample": False, "malignancy_probability": 0.6} | low_and_high | more


def test_what_is_said_of_a_nodule_is_its_line_of_the_table(series, read_nodule):
    said = summarise_nodule(
        series,
        read_nodule,
        row(
            diameter=9.0,
            diameter_low=None,
            diameter_high=None,
            diameter_mm=7.0,
            novelty_percentile=40.0,
            cdam_malignancy_fidelity=0.5,
            cdam_malignancy_fidelity_percentile=97.5,
            cdam_malignancy_stability=None,
            cdam_malignancy_sanity=True,
            cdam_malignancy_inside=float("nan"),
        ),
    )
    malignancy, diameter = said.estimates
    assert (malignancy.value, malignancy.low, malignancy.high, malignancy.readers) == (3.25, 2.0, 4.5, 3.0)
    assert (diameter.value, diameter.low, diameter.readers) == (9.0, None, 7.0)
    assert {figure.name: figure.value for figure in said.figures} == {
        "Probability of a median rating over 3": 0.6,
        "Novelty, percentile among training nodules": 0.4,
        "cdam malignancy: fidelity, percentile among random maps": 0.975,
        "cdam malignancy: fidelity": 0.5,
        "cdam malignancy: changes with shuffled weights (1 = yes)": 1.0,
    }
    assert said.ratings == read_nodule.candidate.readings
    assert said.doubts == ()
    consensus = read_nodule.candidate.masks.consensus()
    assert said.volume_mm3 == pytest.approx(consensus.sum() * 2.0)
    assert said.outline.drawn


def test_a_table_without_trust_and_a_mere_point_are_said_as_well(series, marked_nodule):
    said = summarise_nodule(series, marked_nodule, row(in_sample=True, readers_malignancy=None))
    assert [figure.name for figure in said.figures] == ["Probability of a median rating over 3"]
    assert said.volume_mm3 is None
    assert said.ratings == ()
    assert not said.outline.drawn
    assert said.outline.slice_index == 3
    assert "seen in training" in said.doubts[0]


def test_the_slices_of_a_nodule_are_those_that_any_reader_drew_or_within_its_radius(series, read_nodule, marked_nodule):
    assert slices_of(series, read_nodule) == [7, 8, 9, 10]
    assert slices_of(series, marked_nodule) == [2, 3, 4]  # 3.2 slices of 2 mm, 3 mm around


def test_colour_slices_show_the_map_on_every_slice_of_the_nodules(series, read_nodule, marked_nodule, tmp_path):
    volume = np.zeros(SHAPE, np.float32)
    volume[3, 10, 11], volume[8, 12, 30] = 0.5, -0.25
    source = SourceSeries.from_series(series)
    both = [read_nodule, marked_nodule]
    write_colour_slices(tmp_path / "sc", series, volume, 0.5, both, source, PROVENANCE)
    files = sorted(path.name for path in (tmp_path / "sc").iterdir())
    assert files == [f"cdam_malignancy_{number:04d}.dcm" for number in (2, 3, 4, 7, 8, 9, 10)]
    warm = pydicom.dcmread(tmp_path / "sc" / "cdam_malignancy_0003.dcm").pixel_array.astype(int)
    assert warm[10, 11, 0] > warm[10, 11, 2] + 50
    blue = pydicom.dcmread(tmp_path / "sc" / "cdam_malignancy_0008.dcm").pixel_array.astype(int)
    assert blue[12, 30, 2] > blue[12, 30, 0] + 20


def test_each_reading_is_a_segmentation_and_a_group_of_coded_ratings(series, read_nodule, marked_nodule, tmp_path):
    source = SourceSeries.from_series(series)
    written = write_readings(tmp_path, series, [marked_nodule, read_nodule], source)
    assert len(written) == 3
    tracked = {}
    for number in (1, 2):
        segmentation = hd.seg.segread(tmp_path / "seg" / f"reading_{number}.dcm")
        (segment,) = segmentation.SegmentSequence
        assert segment.SegmentLabel == f"n-1 reading {number}"
        tracked[segment.SegmentLabel] = segment.TrackingUID
        volume = segmentation.get_volume(combine_segments=True)
        places = np.argwhere(volume.array) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        expected = np.argwhere(read_nodule.candidate.masks.masks[number - 1]) + np.array([7, 20, 20])
        found = np.rint(series.grid.to_index(places)[:, ::-1]).astype(int)
        assert {tuple(one) for one in found} == {tuple(one) for one in expected}
    report = hd.sr.srread(tmp_path / "sr" / "readings.dcm")
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


def test_where_no_reader_drew_anything_nothing_is_written(series, marked_nodule, tmp_path):
    assert write_readings(tmp_path / "out", series, [marked_nodule], SourceSeries.from_series(series)) == []
    assert not (tmp_path / "out").exists()


def test_the_pdf_has_a_page_per_nodule_and_names_no_patient(series, read_nodule, marked_nodule, tmp_path):
    both = [read_nodule, marked_nodule]
    said = [summarise_nodule(series, one, row()) for one in both]
    write_pdf(tmp_path / "pdf.dcm", series, both, said, SourceSeries.from_series(series), PROVENANCE)
    dataset = pydicom.dcmread(tmp_path / "pdf.dcm")
    document = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    assert document.startswith(b"%PDF-")
    assert document.rstrip().endswith(b"%%EOF")
    assert b"/Count 2" in document
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert dataset.SeriesDescription == "Nodule report (PDF) - research use only"


def test_on_a_real_scan_four_readers_stand_beside_the_map_in_one_study(lidc_0001, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    for header in read_series(lidc_0001).headers[82:99]:
        (part / header.path.name).symlink_to(header.path)
    series = read_series(part)
    (candidate,) = candidates_of(series, None)
    assert len(candidate.readings) == 4
    rows = [row(diameter_mm=candidate.diameter_mm)]
    run = SimpleNamespace(name="run", weights_sha256="0" * 64)
    method = SimpleNamespace(name="cdam", options={}, reference="a paper", signed=True)
    explained = [nodule(series, candidate)]
    write_overlays(tmp_path / "out", series, explained, rows, run, [method], ["malignancy"], FORMATS)
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
