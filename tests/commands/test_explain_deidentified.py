"""``ctxai explain --deidentify``: what belongs together stays together; the CT that overlays lie on is beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from marked_identity import marked_ct

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.viewer.results import reviewed_series

FORMATS = "pmap,seg,sr,sc,pdf"


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("identified") / "ct"
    marked_ct(folder, 1)
    return folder


@pytest.fixture(scope="module")
def options(run_folder, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("options")
    (folder / "points.csv").write_text("x,y,z,nodule_id,diameter_mm\n4,-9,17,DoeJane,14\n")
    found = ["--run", str(run_folder), "--points", str(folder / "points.csv"), "--formats", FORMATS, "--no-trust"]
    return [*found, "--deidentify", "--key", str(folder / "secret.key")]


@pytest.fixture(scope="module")
def clean(ct, options, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("clean") / "out"
    assert main(["explain", str(ct), str(out), *options]) == 0
    return out


def objects(out: Path) -> list[pydicom.Dataset]:
    """What was written, besides the CT."""
    return [pydicom.dcmread(path) for path in sorted(out.glob("*/dicom/*/*.dcm")) if path.parent.name != "ct"]


def test_objects_refer_to_the_ct_beside_them_and_to_each_other(clean):
    written = {path.parent.name for path in clean.glob("*/dicom/*/*.dcm")}
    assert written == {"ct", "pmap", "seg", "sr", "sc", "pdf"}
    images = [pydicom.dcmread(path) for path in sorted(clean.glob("*/dicom/ct/*.dcm"))]
    known = {str(image.SOPInstanceUID) for image in images} | {str(one.SOPInstanceUID) for one in objects(clean)}
    frames = {str(image.FrameOfReferenceUID) for image in images}
    assert len(frames) == 1
    for one in [*images, *objects(clean)]:
        assert one.StudyInstanceUID == images[0].StudyInstanceUID
        assert one.PatientID == images[0].PatientID
        assert one.PatientIdentityRemoved == "YES"
        assert one.LongitudinalTemporalInformationModified == "REMOVED"
        assert [item.CodeValue for item in one.DeidentificationMethodCodeSequence] == ["113100", "113104", "113105"]
        assert str(one.get("FrameOfReferenceUID", images[0].FrameOfReferenceUID)) in frames
        referred = {str(element.value) for element in one.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
        assert referred <= known
        assert not referred or one.SOPClassUID != images[0].SOPClassUID


def test_the_ct_beside_them_has_the_same_voxels_in_the_same_place(ct, clean):
    (folder,) = clean.glob("*/dicom/ct")
    volumes = []
    for place in (ct, folder):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(place)))
        volumes.append(reader.Execute())
    before, after = volumes
    np.testing.assert_array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))
    assert before.GetOrigin() == after.GetOrigin() and before.GetSpacing() == after.GetSpacing()
    assert folder.parents[1].name == read_series(folder).key  # the folder is named by the new UID


def test_a_second_call_with_the_same_key_gives_the_same_bytes_and_another_key_others(ct, options, clean, tmp_path):
    assert main(["explain", str(ct), str(tmp_path / "again"), *options]) == 0
    first, again = (
        {p.relative_to(out): p.read_bytes() for p in out.rglob("*.dcm")} for out in (clean, tmp_path / "again")
    )
    assert first == again
    other = ["seg" if word == FORMATS else word for word in [*options[:-1], str(tmp_path / "other.key")]]
    assert main(["explain", str(ct), str(tmp_path / "other"), *other]) == 0
    assert not {path.parts[0] for path in first} & {path.name for path in (tmp_path / "other").iterdir()}
    assert {one.PatientID for one in objects(clean)}.isdisjoint(one.PatientID for one in objects(tmp_path / "other"))


def test_review_shows_them_on_the_ct_beside_them(clean):
    (one,), _ = reviewed_series(clean)
    assert one.ct is not None and one.ct.parts[-2:] == ("dicom", "ct")
    assert not any(file.parent.name == "ct" for file in one.files)


def test_with_retained_uids_they_lie_on_the_original_ct(ct, options, tmp_path):
    less = ["seg" if word == FORMATS else word for word in options]
    arguments = ["explain", str(ct), str(tmp_path / "out"), *less, "--retain", "uids", "dates"]
    assert main(arguments) == 0
    original = pydicom.dcmread(next(ct.iterdir()))
    (bands,) = objects(tmp_path / "out")
    assert bands.FrameOfReferenceUID == original.FrameOfReferenceUID
    assert bands.StudyInstanceUID == original.StudyInstanceUID
    assert bands.StudyDate == original.StudyDate
    assert bands.PatientID != original.PatientID
    assert [item.CodeValue for item in bands.DeidentificationMethodCodeSequence][3:] == ["113110", "113106"]
    assert not list((tmp_path / "out").glob("*/dicom/ct"))


def test_results_of_both_kinds_are_not_mixed(ct, options, clean, capsys):
    assert main(["explain", str(ct), str(clean), *options[: options.index("--deidentify")]]) == 2
    assert "deidentified otherwise, or not; give another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--retain", "dates"], "--retain belongs to --deidentify"),
        (["--deidentify", "--retain", "name"], "expected some of uids dates"),
        (["--deidentify", "--retain", "dates", "modified-dates"], "one of the two"),
    ],
)
def test_flags_that_make_no_sense_are_refused(ct, options, tmp_path, capsys, flags, words):
    plain = options[: options.index("--deidentify")]
    key = ["--key", str(tmp_path / "key")] if "--deidentify" in flags else []
    assert main(["explain", str(ct), str(tmp_path / "out"), *plain, *flags, *key]) == 2
    assert words in capsys.readouterr().err


def test_pixels_that_may_tell_the_patient_are_warned_of_and_refused_where_the_identity_is_to_go(
    options, tmp_path, capsys, caplog
):
    marked_ct(tmp_path / "ct", 1)
    for path in (tmp_path / "ct").iterdir():
        image = pydicom.dcmread(path)
        image.BurnedInAnnotation, image.RecognizableVisualFeatures = "YES", "YES"
        image.save_as(path)
    plain = ["nifti" if word == FORMATS else word for word in options]
    only_nifti = [*plain[: plain.index("--deidentify")], "--no-maps"]
    assert main(["explain", str(tmp_path / "ct"), str(tmp_path / "out"), *only_nifti]) == 0
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        assert sum(f"{keyword} is YES" in record.getMessage() for record in caplog.records) == 1
    assert main(["explain", str(tmp_path / "ct"), str(tmp_path / "clean"), *plain, "--no-maps"]) == 2
    assert "annotations are burned into its pixels" in capsys.readouterr().err
    assert not list((tmp_path / "clean").rglob("*.nii.gz"))


def test_results_under_two_keys_do_not_meet_in_one_folder(ct, options, clean, tmp_path, capsys):
    assert main(["explain", str(ct), str(clean), *options[:-1], str(tmp_path / "other.key")]) == 2
    assert "deidentified otherwise, or not; give another folder" in capsys.readouterr().err
