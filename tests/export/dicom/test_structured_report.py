from __future__ import annotations

import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom.sr.utils import find_content_items
from pydicom.sr.codedict import codes as dictionary

from ctxai.errors import InputError
from ctxai.export import (
    Doubt,
    Estimate,
    NamedValue,
    NoduleSummary,
    SegmentedNodule,
    SourceSeries,
    outline_of_mask,
    outline_of_point,
    write_nodule_segmentation,
    write_parametric_maps,
    write_structured_report,
)

from synthetic_ct import SCANS

READINGS = ({"malignancy": 4, "texture": 5, "internalStructure": 6}, {"malignancy": 3, "texture": 3})


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((12, 24, 32), dtype=bool)
    mask[3, 5:9, 10:14] = True
    mask[4, 4:11, 8:19] = True
    mask[4, 4, 8:11] = False
    return mask


@pytest.fixture
def nodules(mask, source) -> list[NoduleSummary]:
    return [
        NoduleSummary(
            "phantom/1",
            outline_of_mask(mask),
            (
                Estimate("malignancy", 3.25, 2.1, 4.4, 3.5),
                Estimate("spiculation", 1.5, 1.0, 2.25, 2.0),
                Estimate("diameter", 9.125, 7.0, 12.0, 9.0),
            ),
            (
                NamedValue("Probability of a median rating over 3", 0.62, percent=True),
                NamedValue("cdam: fidelity", 0.3),
            ),
            READINGS,
            volume_mm3=123.5,
            diameter_mm=9.0,
            doubts=(Doubt("Do not use the map", "one reason"), Doubt("Do not use the map", "another")),
        ),
        NoduleSummary(
            "point",
            outline_of_point(source.grid, source.grid.centre, 6.0),
            (Estimate("malignancy", 1.0, 1.0, 2.0),),
        ),
    ]


@pytest.fixture
def groups(source, nodules, provenance, tmp_path):
    write_structured_report(tmp_path / "sr.dcm", nodules, source, provenance)
    return hd.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()


def numbers(group) -> dict[str, tuple[float, str]]:
    """Value and unit of each numeric item, in the order of the file."""
    return {item.name.meaning: (float(item.value), item.unit.value) for item in group.get_measurements()}


def coded(group) -> list[tuple[str, str]]:
    """Name and value of each coded rating, in the order of the file."""
    found = [(item.name.meaning, item.value.meaning) for item in group.get_qualitative_evaluations()]
    return [(name, value) for name, value in found if name not in ("Finding category", "Geometric purpose of region")]


def test_all_that_a_reader_must_see_is_a_number_the_most_important_first(groups):
    assert list(numbers(groups[0]).items()) == [
        ("Malignancy", (3.2, "{score}")),
        ("Malignancy, 90 % interval from", (2.1, "{score}")),
        ("Malignancy, 90 % interval to", (4.4, "{score}")),
        ("Probability of a median rating over 3", (62.0, "%")),
        ("Do not use the map, reasons", (2.0, "{counts}")),
        ("cdam: fidelity", (0.3, "{ratio}")),
        ("Malignancy, readers' mean", (3.5, "{score}")),
        ("Spiculation", (1.5, "{score}")),
        ("Spiculation, readers' mean", (2.0, "{score}")),
        ("Diameter, predicted", (9.1, "mm")),
        ("Diameter", (9.0, "mm")),
        ("Volume", (124.0, "mm3")),
    ]


def test_how_far_the_models_of_an_ensemble_are_apart_is_told_with_its_unit(source, nodules, provenance, tmp_path):
    given = dataclasses.replace(
        nodules[1],
        estimates=(
            Estimate("malignancy", 3.0, spread=0.314),
            Estimate("volume_doubling_time_of_the_solid_part_alone", 300.0, ucum="d", spread=12.5),
        ),
        figures=(NamedValue("Resected: probability", 0.4, percent=True, spread=0.057),),
    )
    write_structured_report(tmp_path / "sr.dcm", [given], source, provenance)
    (group,) = hd.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()
    found = numbers(group)
    assert found["Malignancy, standard deviation over the models"] == (0.31, "{score}")
    assert found["Resected: probability, standard deviation over the models"] == (5.7, "%")
    (long,) = [name for name in found if name.startswith("Volume doubling time") and name.endswith("over the models")]
    assert found[long] == (12.5, "d") and len(long) <= 64


def test_an_interval_also_stands_below_its_estimate_as_the_standard_has_it(groups):
    (spiculation,) = (item for item in groups[0].get_measurements() if item.name.meaning == "Spiculation")
    below = {item.ConceptNameCodeSequence[0].CodeValue: item for item in spiculation[0].ContentSequence}
    assert float(below["371886008"].MeasuredValueSequence[0].NumericValue) == pytest.approx(0.75)  # upwards
    assert float(below["371885007"].MeasuredValueSequence[0].NumericValue) == pytest.approx(0.5)


def test_readers_ratings_are_coded_reader_by_reader_and_one_beyond_its_scale_is_left_out(groups):
    assert coded(groups[0]) == [
        ("Texture", "Solid"),
        ("Malignancy", "Moderately suspicious"),
        ("Texture", "Part-solid"),
        ("Malignancy", "Indeterminate"),
    ]
    assert coded(groups[1]) == []


def test_the_region_is_the_outline_in_its_key_slice(groups, nodules, source):
    for group, nodule in zip(groups, nodules, strict=True):
        region = group.roi
        assert region.graphic_type.value == "POLYLINE"
        np.testing.assert_allclose(region.value, nodule.outline.points, atol=1e-6)
        referenced = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert referenced == source.images[nodule.outline.slice_index].SOPInstanceUID
    purposes = [
        find_content_items(group[0], name=hd.sr.CodedConcept("130400", "DCM", "Geometric purpose of region"))[0].value
        for group in groups
    ]
    assert [purpose.meaning for purpose in purposes] == ["Outline", "Bounded by"]


@pytest.mark.parametrize("name", SCANS)
def test_the_outline_lies_where_the_nodule_is_in_the_patient(scan, name, mask, provenance, tmp_path):
    series = scan(name)
    source = SourceSeries.from_series(series)
    nodule = NoduleSummary("n", outline_of_mask(mask), (Estimate("malignancy", 2.0),))
    write_structured_report(tmp_path / "sr.dcm", [nodule], source, provenance)
    (group,) = hd.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()
    uid = group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    (image,) = (header for header in series.headers if header.sop_uid == uid)
    to_patient = hd.spatial.ImageToReferenceTransformer(
        image.position, image.orientation, image.pixel_spacing_mm
    )  # highdicom's own: (0.5, 0.5) is the middle of the first pixel
    middle = to_patient(np.array([group.roi.value[:-1].mean(axis=0)]))[0]
    points = nodule.outline.points[:-1].mean(axis=0) - 0.5
    np.testing.assert_allclose(middle, series.grid.to_lps(np.array([*points, 4])), atol=0.01)


def test_tracking_uids_are_those_of_the_segmentation(source, nodules, mask, groups, provenance, tmp_path):
    labels = mask.astype(np.uint8)
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, [SegmentedNodule("phantom/1")], source, provenance)
    (segment,) = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert groups[0].tracking_uid == segment.TrackingUID
    assert groups[0].tracking_identifier == segment.TrackingID == "phantom/1"
    assert groups[0].tracking_uid != groups[1].tracking_uid


def test_the_report_refers_to_the_ct_the_segmentation_and_the_maps(
    source, nodules, mask, signed_map, provenance, tmp_path
):
    written = write_parametric_maps(tmp_path / "pmap", signed_map, source, provenance)
    segmentation = [SegmentedNodule("phantom/1")]
    written.append(
        write_nodule_segmentation(tmp_path / "seg.dcm", mask.astype(np.uint8), segmentation, source, provenance)
    )
    write_structured_report(tmp_path / "sr.dcm", nodules, source, provenance, written)
    (study,) = pydicom.dcmread(tmp_path / "sr.dcm").CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == source.first.StudyInstanceUID
    found = {
        (series.SeriesInstanceUID, item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    expected = {(image.SeriesInstanceUID, image.SOPClassUID, image.SOPInstanceUID) for image in source.images}
    for file in (*(tmp_path / "pmap").iterdir(), tmp_path / "seg.dcm"):
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        expected.add((dataset.SeriesInstanceUID, dataset.SOPClassUID, dataset.SOPInstanceUID))
    assert found == expected


def test_the_report_says_who_made_it_how_and_that_nobody_verified_it(source, nodules, provenance, tmp_path):
    reference = write_structured_report(tmp_path / "sr.dcm", nodules, source, provenance)
    dataset = pydicom.dcmread(tmp_path / "sr.dcm")
    assert reference.SOPInstanceUID == dataset.SOPInstanceUID
    assert dataset.SeriesDescription == "Nodule report - research use only"
    assert (dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    texts = [str(element.value) for element in dataset.iterall() if element.keyword == "TextValue"]
    assert any("research use only" in text for text in texts)
    assert any(provenance.weights_sha256 in text and "pre_norm" in text for text in texts)
    content = hd.sr.srread(tmp_path / "sr.dcm").content
    (title,) = content[0].ConceptNameCodeSequence
    assert title.CodeValue == dictionary.DCM.ImagingMeasurementReport.value


def test_what_only_readers_said_names_no_algorithm(source, nodules, provenance, tmp_path):
    read = dataclasses.replace(nodules[0], estimates=(), figures=(), doubts=())
    write_structured_report(tmp_path / "sr.dcm", [read], source, provenance)
    names = {item.get("CodeMeaning") for item in _items(pydicom.dcmread(tmp_path / "sr.dcm"))}
    assert "Algorithm Name" not in names
    assert {"Texture", "Volume", "Diameter"} <= names


def _items(dataset: pydicom.Dataset):
    """Every item of every sequence."""
    for element in dataset.iterall():
        if element.VR == "SQ":
            yield from element.value


def test_the_report_alone_holds_the_patients_identity_in_its_usual_place(source, nodules, provenance, tmp_path):
    write_structured_report(tmp_path / "sr.dcm", nodules, source, provenance)
    dataset = pydicom.dcmread(tmp_path / "sr.dcm")
    assert str(dataset.PatientName) == "Phantom^Synthetic"
    elsewhere = [e for e in dataset.iterall() if e.keyword not in ("PatientName", "PatientID")]
    assert not any(
        "Phantom^Synthetic" in str(e.value) or "SYNTHETIC-1" in str(e.value) for e in elsewhere if e.VR != "SQ"
    )


def test_wrong_inputs_are_refused_in_one_line(source, nodules, provenance, tmp_path):
    with pytest.raises(InputError, match="no nodule to report"):
        write_structured_report(tmp_path / "sr.dcm", [], source, provenance)
    outside = dataclasses.replace(nodules[0].outline, slice_index=12)
    with pytest.raises(InputError, match="lies in slice 12, but the CT has 12"):
        write_structured_report(
            tmp_path / "sr.dcm", [dataclasses.replace(nodules[0], outline=outside)], source, provenance
        )
    with pytest.raises(InputError, match="nodule id"):
        dataclasses.replace(nodules[0], nodule_id="a\\b")
    assert list(tmp_path.glob("*.dcm")) == []
