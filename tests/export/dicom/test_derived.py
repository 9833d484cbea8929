from __future__ import annotations

import dataclasses
import re

import numpy as np
import pydicom
import pytest
from PIL import Image

from ctxai.export import (
    Estimate,
    NoduleSummary,
    SegmentedNodule,
    SourceSeries,
    outline_of_mask,
    write_encapsulated_pdf,
    write_fractional_evidence,
    write_heat_bands,
    write_nodule_segmentation,
    write_parametric_map,
    write_secondary_capture,
    write_structured_report,
)
from ctxai.export.dicom import part10
from ctxai.export.dicom.derived import content_uid, series_description, tracking_uid
from ctxai.export.pdf import NodulePage, pdf_report

KINDS = ("map", "bands", "nodule", "graded", "report", "pdf", "colour")


def write_all(folder, volume, source, provenance) -> dict[str, pydicom.Dataset]:
    labels = (np.abs(volume) > 0.5).astype(np.uint8)
    write_parametric_map(folder / "map.dcm", volume, source, provenance)
    write_heat_bands(folder / "bands.dcm", volume, source, provenance)
    write_nodule_segmentation(folder / "nodule.dcm", labels, [SegmentedNodule("n")], source, provenance)
    write_fractional_evidence(folder / "graded.dcm", volume, source, provenance)
    nodule = NoduleSummary("n", outline_of_mask(labels == 1), (Estimate("malignancy", float(volume.sum())),))
    write_structured_report(folder / "report.dcm", [nodule], source, provenance)
    page = NodulePage(nodule, "image 1", Image.fromarray(labels[3] * 255), "a picture")
    write_encapsulated_pdf(folder / "pdf.dcm", pdf_report([page], provenance), source, provenance)
    picture = np.repeat((labels[3] * np.uint8(200))[..., None], 3, axis=2)
    picture[0, 0] = np.float32(volume[2, 3, 5] * 100).astype(np.int64) % 256
    write_secondary_capture(folder, {3: picture}, source, provenance)
    (folder / f"{provenance.stem}_0003.dcm").rename(folder / "colour.dcm")
    return {file.stem: pydicom.dcmread(file) for file in sorted(folder.glob("*.dcm"))}


def test_same_inputs_make_the_same_files(source, signed_map, provenance, tmp_path):
    write_all(tmp_path / "one", signed_map, source, provenance)
    write_all(tmp_path / "two", signed_map.copy(), source, provenance)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_no_date_or_time_is_that_of_the_writing(source, signed_map, provenance, tmp_path):
    for dataset in write_all(tmp_path, signed_map, source, provenance).values():
        dates = {
            str(e.value)[:8]
            for e in dataset.iterall()
            if e.VR in ("DA", "DT") and e.value and e.keyword != "PatientBirthDate"
        }
        times = {str(e.value) for e in dataset.iterall() if e.VR == "TM" and e.value}
        assert dates == {"20000101"}
        assert times == {"120000"}


def test_any_difference_gives_other_instance_and_series_uids(scan, signed_map, provenance, tmp_path):
    one_voxel = signed_map.copy()
    one_voxel[2, 3, 5] = 0.1
    source, other_ct = SourceSeries.from_series(scan()), SourceSeries.from_series(scan(seed="another"))
    variants = [
        (signed_map, source, provenance),
        (one_voxel, source, provenance),
        (signed_map, source, dataclasses.replace(provenance, options={"variant": "post_norm", "samples": 50})),
        (signed_map, source, dataclasses.replace(provenance, target="spiculation")),
        (signed_map, source, dataclasses.replace(provenance, weights_sha256="f" * 64)),
        (signed_map, other_ct, provenance),
    ]
    written = [write_all(tmp_path / str(i), *variant) for i, variant in enumerate(variants)]
    for name in KINDS:
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
            found = [datasets[name][keyword].value for datasets in written]
            assert len(set(found)) == len(variants), f"{keyword} of {name}"


def test_each_object_is_a_series_of_its_own(source, signed_map, provenance, tmp_path):
    datasets = write_all(tmp_path, signed_map, source, provenance).values()
    uids = [dataset[keyword].value for dataset in datasets for keyword in ("SeriesInstanceUID", "SOPInstanceUID")]
    assert len(set(uids)) == 2 * len(KINDS)
    for uid in uids:
        assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid)
        assert pydicom.uid.UID(uid).is_valid
    assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in datasets)
    assert len({dataset.SeriesNumber for dataset in datasets}) == len(KINDS)
    assert len({dataset.SeriesDescription for dataset in datasets}) == len(KINDS)


def test_each_object_says_how_it_was_made_and_that_it_is_for_research(source, signed_map, provenance, tmp_path):
    for dataset in write_all(tmp_path, signed_map, source, provenance).values():
        assert dataset.SeriesDescription.endswith("research use only")
        (equipment,) = (i for i in dataset.ContributingEquipmentSequence if i.get("ManufacturerModelName") == "ctxai")
        assert equipment.SoftwareVersions == provenance.version
        for part in ("CDAM", "malignancy", "pre_norm", provenance.weights_sha256, "phantom/1"):
            assert part in equipment.ContributionDescription
            if "Rows" in dataset:
                assert part in dataset.DerivationDescription


def test_each_object_belongs_to_the_patient_and_study_of_the_ct(source, signed_map, provenance, tmp_path):
    study = {keyword: source.first[keyword].value for keyword in ("StudyInstanceUID", "StudyDate", "StudyID")}
    expected = study | {"PatientID": "SYNTHETIC-1", "PatientBirthDate": "19600101", "PatientSex": "O"}
    for name, dataset in write_all(tmp_path, signed_map, source, provenance).items():
        assert {keyword: dataset[keyword].value for keyword in expected} == expected, name
        assert str(dataset.PatientName) == "Phantom^Synthetic"
        if "Rows" in dataset:
            assert dataset.FrameOfReferenceUID == source.first.FrameOfReferenceUID
            assert dataset.BodyPartExamined == "CHEST"
        referenced = {e.value for e in dataset.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
        assert referenced & {image.SOPInstanceUID for image in source.images}


@pytest.mark.parametrize("title", ["short", "x" * 100])
def test_series_description_keeps_its_notice_within_64_characters(title):
    assert len(series_description(title)) <= 64
    assert series_description(title).endswith(" - research use only")


def test_uids_depend_on_where_one_part_ends_and_the_next_begins(source):
    assert content_uid("ab", "c") != content_uid("a", "bc")
    assert tracking_uid(source, "1") == tracking_uid(source, "1") != tracking_uid(source, "2")


def test_writing_leaves_the_source_as_it_was(source, signed_map, provenance, tmp_path):
    before = [image.to_json() for image in source.images]
    write_all(tmp_path, signed_map, source, provenance)
    assert [image.to_json() for image in source.images] == before


@pytest.mark.parametrize("deflated", [False, True])
def test_a_failed_write_leaves_nothing(source, signed_map, provenance, tmp_path, monkeypatch, deflated):
    def fail(*_args, **_kwargs):
        assert len([*(tmp_path / "out").iterdir()]) == 1  # it was begun
        raise KeyboardInterrupt

    monkeypatch.setattr(part10, "write_runs", fail)
    with pytest.raises(KeyboardInterrupt):
        write_parametric_map(tmp_path / "out" / "map.dcm", signed_map, source, provenance, deflated=deflated)
    assert list((tmp_path / "out").iterdir()) == []
