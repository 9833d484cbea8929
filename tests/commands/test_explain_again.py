"""A second explanation into a folder that has results, and a person's own files."""

import json

import pandas as pd
import pydicom
import pytest

from ctxai import own_files
from ctxai.cli import main
from ctxai.generations import dicom_objects

from folders import contents
from sphere import SPHERE, only

HEADER = "x,y,z,nodule_id,diameter_mm,series_uid\n"
BOTH = HEADER + "{0},{1},{2},first,8,\n{0},{1},{3},second,8,\n".format(*SPHERE, SPHERE[2] + 6)


def test_what_is_marked_no_longer_goes_and_a_persons_own_files_stay(sphere_ct, run_folder, tmp_path, write_points):
    out = tmp_path / "out"
    common = ["explain", str(sphere_ct), str(out), "--run", str(run_folder), "--no-trust"]
    assert main([*common, "--points", str(write_points(BOTH)), "--formats", "nifti,seg,sr"]) == 0
    folder = only(out, "*/explained.json").parent
    own = [folder / "ct.mrb", folder / "maps" / "my_segmentation.seg.nrrd", folder / "dicom" / "seg" / "mine.dcm"]
    for path in own:
        path.write_text("mine")
    one_left = BOTH.rsplit("\n", 2)[0] + "\n"
    assert main([*common, "--points", str(write_points(one_left)), "--formats", "seg"]) == 0
    assert pd.read_csv(out / "predictions.csv")["nodule_id"].tolist() == ["first"]
    assert {path.name for path in dicom_objects(out)} == {"cdam_malignancy_bands.dcm"}
    assert sorted(path.name for path in folder.glob("nodules/*")) == ["first"]
    assert main([*common, "--points", str(write_points(one_left)), "--no-maps"]) == 0
    assert dicom_objects(out) == []
    assert not list(folder.rglob("cdam_*"))
    assert all(path.read_text() == "mine" for path in own)


def test_files_of_a_person_beside_the_results_are_neither_replaced_nor_removed(
    sphere_ct, run_folder, tmp_path, write_points, capsys
):
    out = tmp_path / "out"
    command = ["explain", str(sphere_ct), str(out), "--run", str(run_folder), "--points", str(write_points())]
    command += ["--no-maps"]
    out.mkdir()
    for name in ("report.html", "predictions.csv"):
        (out / name).write_text("mine")
        assert main(command) == 2
        assert f"{name}: was not written by ctxai" in capsys.readouterr().err
        assert contents(out) == {name: b"mine"}
        (out / name).unlink()
    own = [out / "shards" / "notes.txt", out / "shards" / "a-of-b.json", out / ".notes.partial.txt", out / "thesis.doc"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for _ in range(2):
        assert main(command) == 0
    assert {path.read_text() for path in own} == {"mine"}
    table = (out / "predictions.csv").read_text() + "a line of my own\n"
    (out / "predictions.csv").write_text(table)
    assert main([*command, "--no-resume"]) == 2
    assert "predictions.csv: was not written by ctxai, or was changed since" in capsys.readouterr().err
    assert (out / "predictions.csv").read_text() == table


class Killed(BaseException):
    """The end of a process, at a moment of the test's choice."""


def killed_after(count, function):
    """A function that ends the process at its call after ``count`` calls."""
    calls = iter(range(count))

    def counted(*arguments, **options):
        if next(calls, None) is None:
            raise Killed
        return function(*arguments, **options)

    return counted


@pytest.mark.parametrize("name", ["write_text", "write_json"])  # a table; the record before and after it
@pytest.mark.parametrize("count", range(4))
def test_a_kill_between_two_tables_is_gone_on_from(
    sphere_ct, run_folder, tmp_path, write_points, monkeypatch, name, count
):
    command = ["explain", str(sphere_ct), str(tmp_path), "--run", str(run_folder), "--points", str(write_points())]
    command += ["--no-maps"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(own_files, name, killed_after(count, getattr(own_files, name)))
        main(command)
    assert main(command) == 0
    again = contents(tmp_path)
    assert main([*command, "--no-resume"]) == 0
    assert contents(tmp_path) == again
    assert {"predictions.csv", "predictions.json", "datapackage.json", "report.html"} <= set(again)


def test_the_objects_of_a_map_are_the_same_files_whatever_else_is_explained(
    sphere_ct, run_folder, tmp_path, write_points
):
    common = ["--run", str(run_folder), "--no-trust", "--points", str(write_points()), "--formats", "nifti,pmap,seg,sc"]
    found = []
    for more in ([], ["--target", "spiculation", "malignancy", "--method", "agcam", "cdam"]):
        out = tmp_path / f"out{len(found)}"
        command = ["explain", str(sphere_ct), str(out), *common]
        assert main([*command, *(more or ["--method", "cdam"])]) == 0
        found.append({path.name: path.read_bytes() for path in out.rglob("*cdam_malignancy*") if path.is_file()})
    assert set(found[0]) <= set(found[1])
    assert {name for name in found[0] if found[0][name] != found[1][name]} == set()
    assert {"cdam_malignancy_for.dcm", "cdam_malignancy_bands.dcm", "cdam_malignancy.nii.gz"} <= set(found[0])


def test_results_of_two_models_are_told_apart_in_the_table(sphere_ct, run_folder, tmp_path, write_points):
    out = tmp_path / "out"
    common = ["explain", str(sphere_ct), str(out), "--points", str(write_points()), "--no-maps"]
    found = []
    for run in (["--run", str(run_folder)], []):
        assert main([*common, *run]) == 0
        (checksum,) = pd.read_csv(out / "predictions.csv")["weights_sha256"]
        found.append(checksum)
    assert len(set(found)) == 2


def test_the_table_joins_to_the_ct_and_has_a_data_dictionary(sphere_ct, run_folder, tmp_path, write_points):
    out = tmp_path / "out"
    points = ["--points", str(write_points())]
    assert main(["explain", str(sphere_ct), str(out), "--run", str(run_folder), *points, "--no-maps"]) == 0
    (row,) = pd.read_csv(out / "predictions.csv").to_dict("records")
    image = next(
        one for one in map(pydicom.dcmread, sphere_ct.iterdir()) if one.SOPInstanceUID == row["SOPInstanceUID"]
    )
    assert row["SeriesInstanceUID"] == image.SeriesInstanceUID
    assert row["StudyInstanceUID"] == image.StudyInstanceUID
    assert abs(float(image.ImagePositionPatient[2]) - SPHERE[2]) <= 1.0
    (resource,) = json.loads((out / "datapackage.json").read_text())["resources"]
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert list(fields) == list(pd.read_csv(out / resource["path"]).columns)
    assert all(field["description"] and field["description"] != name for name, field in fields.items())
