"""`ctxai explain` of CTs on which no DICOM object can lie: explained, and told why overlays are NIfTI alone."""

import numpy as np
import pydicom
import pytest
from enhanced_ct import write_enhanced

from ctxai.cli import main
from ctxai.ct.series import read_series

from sphere import predictions


def edited(folder, target, **attributes):
    """A copy of a series with other attributes."""
    target.mkdir()
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(target / file.name)
    return target


def bytes_under(folder, target, keyword, raw, character_set):
    """A copy of a series whose images have a text in the given bytes."""
    edited(folder, target, SpecificCharacterSet=character_set, **{keyword: "@" * len(raw)})
    for file in target.iterdir():
        file.write_bytes(file.read_bytes().replace(b"@" * len(raw), raw))
    return target


def form(name, sphere_ct, tmp_path):
    if name == "no frame of reference":
        return edited(sphere_ct, tmp_path / "ct", FrameOfReferenceUID="")
    if name == "bytes of another character set":
        return bytes_under(sphere_ct, tmp_path / "ct", "PatientID", b"M\xfcller-7", "ISO_IR 192")
    series = read_series(sphere_ct)
    return write_enhanced(tmp_path / "ct" / "enhanced.dcm", series.read(), series.grid).parent


FORMS = {
    "no frame of reference": "FrameOfReferenceUID",
    "bytes of another character set": "PatientID of its images is not written in their SpecificCharacterSet",
    "enhanced": "an Enhanced CT",
}


@pytest.mark.parametrize("name", FORMS)
def test_it_is_explained_and_only_what_cannot_be_written_is_left_out(
    name, sphere_ct, run_folder, tmp_path, write_points, caplog, capsys
):
    ct = form(name, sphere_ct, tmp_path)
    rest = ["--run", str(run_folder), "--points", str(write_points()), "--no-trust"]
    assert main(["explain", str(ct), str(tmp_path / "out"), *rest]) == 0
    assert FORMS[name] in caplog.text and "not written: pmap, seg, sr" in caplog.text
    assert main(["explain", str(sphere_ct), str(tmp_path / "plain"), *rest, "--formats", "nifti"]) == 0
    found, expected = predictions(tmp_path / "out"), predictions(tmp_path / "plain")
    assert found[0]["malignancy"] == expected[0]["malignancy"]
    names = [{file.name for file in (tmp_path / out).rglob("*.nii.gz")} for out in ("out", "plain")]
    assert names[0] == names[1] and not list((tmp_path / "out").rglob("*.dcm"))
    caplog.clear()
    assert main(["explain", str(ct), str(tmp_path / "out"), *rest]) == 0  # nothing is done again, and the word is
    assert FORMS[name] in caplog.text
    capsys.readouterr()
    assert main(["explain", str(ct), str(tmp_path / "none"), *rest, "--formats", "pmap,sr"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "add nifti to --formats" in error and "ller" not in error


def test_two_patients_whose_ids_differ_in_such_a_byte_have_two_pseudonyms(sphere_ct, tmp_path):
    first, second = (
        bytes_under(sphere_ct, tmp_path / str(byte), "PatientID", b"M" + bytes([byte]) + b"ller-7", "ISO_IR 192")
        for byte in (0xFC, 0xF6)
    )
    series = [read_series(folder) for folder in (first, second)]
    assert series[0].patient_id != series[1].patient_id
    np.testing.assert_array_equal(series[0].read(0, 1), series[1].read(0, 1))


def test_the_acquisition_that_is_named_is_explained(sphere_ct, run_folder, tmp_path, write_points, caplog):
    """Two acquisitions in one series, of which the second is denser."""
    both = edited(sphere_ct, tmp_path / "both", AcquisitionNumber=1)
    second = edited(sphere_ct, tmp_path / "second", AcquisitionNumber=2, RescaleIntercept="-900")
    for file in second.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:60]}.2"
        dataset.save_as(both / f"second-{file.name}")
    rest = ["--run", str(run_folder), "--points", str(write_points()), "--no-maps"]
    found = []
    for ct, more in ((both, []), (both, ["--acquisition", "2"]), (sphere_ct, []), (second, [])):
        out = tmp_path / f"out{len(found)}"
        assert main(["explain", str(ct), str(out), *rest, *more]) == 0
        found.append(predictions(out)[0]["malignancy_logit"])
    assert found[0] == found[2] != found[3] == found[1]
    assert "2 acquisitions by AcquisitionNumber" in caplog.text
    assert main(["explain", str(both), str(tmp_path / "none"), *rest, "--acquisition", "5"]) == 2
