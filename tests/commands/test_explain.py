import json
import shutil
import zipfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from ctxai.cli import main
from ctxai.ct.series import read_series

from sphere import SPHERE, only, predictions

TRUST = ("fidelity", "fidelity_percentile", "stability", "sanity")


@pytest.fixture(scope="module")
def explained(sphere_ct, run_folder, tmp_path_factory) -> Path:
    """Results for the sphere."""
    folder = tmp_path_factory.mktemp("explain")
    points = folder / "points.csv"
    points.write_text("x,y,z,nodule_id,diameter_mm\n{},{},{},sphere,14\n".format(*SPHERE))
    out = folder / "out"
    assert main(["explain", str(sphere_ct), str(out), "--run", str(run_folder), "--points", str(points)]) == 0
    return out


def test_the_results_are_laid_out_as_promised(explained):
    files = {str(path.relative_to(explained)) for path in explained.rglob("*") if path.is_file()}
    key = only(explained, "*/explained.json").parent.name
    assert {"predictions.csv", "predictions.json", "report.html"} <= files
    for name in (
        "maps/cdam_malignancy.nii.gz",
        "dicom/pmap/cdam_malignancy_for.dcm",
        "dicom/pmap/cdam_malignancy_against.dcm",
        "dicom/seg/cdam_malignancy_bands.dcm",
        "views/sphere.png",
    ):
        assert f"{key}/{name}" in files
    assert not any("partial" in name for name in files)


def test_a_prediction_has_an_interval_round_it(explained):
    (row,) = predictions(explained)
    assert row["nodule_id"] == "sphere"
    assert row["in_sample"] == "False"
    np.testing.assert_allclose([float(row[axis]) for axis in "xyz"], SPHERE, atol=1e-3)
    for name in ("malignancy", "diameter", "spiculation"):
        assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])
    (again,) = json.loads((explained / "predictions.json").read_text())["nodules"]
    assert again["malignancy"] == pytest.approx(float(row["malignancy"]))


def test_four_readers_of_the_files_agree_where_a_voxel_is(explained, sphere_ct):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(sphere_ct)))
    ct = reader.Execute()
    folder = only(explained, "*/explained.json").parent
    nifti = nib.load(folder / "maps" / "cdam_malignancy.nii.gz")
    through_sitk = sitk.ReadImage(folder / "maps" / "cdam_malignancy.nii.gz")
    volumes = [
        hd.imread(folder / "dicom" / "pmap" / "cdam_malignancy_for.dcm").get_volume(apply_real_world_transform=False),
        hd.seg.segread(folder / "dicom" / "seg" / "cdam_malignancy_bands.dcm").get_volume(combine_segments=True),
    ]
    for index in [(50, 48, 20), (41, 39, 17), (60, 57, 22)]:
        lps = np.array(ct.TransformIndexToPhysicalPoint(index))
        ras = nib.affines.apply_affine(nifti.affine, index)
        assert np.abs(ras * [-1, -1, 1] - lps).max() < 0.01
        assert np.abs(np.array(through_sitk.TransformIndexToPhysicalPoint(index)) - lps).max() < 0.01
        for volume in volumes:  # the SEG may hold a part of the slices
            place = volume.map_reference_to_indices(lps[None])[0]
            assert np.abs(place - np.rint(place)).max() < 0.01
            assert np.abs(volume.map_indices_to_reference(np.rint(place)[None])[0] - lps).max() < 0.01


def test_the_parametric_maps_hold_the_values_of_the_nifti_map(explained):
    folder = only(explained, "*/explained.json").parent
    values = np.asarray(nib.load(folder / "maps" / "cdam_malignancy.nii.gz").dataobj).transpose(2, 1, 0)
    total = np.zeros_like(values)
    for side in ("for", "against"):
        dataset = pydicom.dcmread(folder / "dicom" / "pmap" / f"cdam_malignancy_{side}.dcm")
        frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(values.shape)
        assert 0 <= frames.min() <= frames.max() <= 1
        mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        total += frames * mapping.RealWorldValueSlope
    np.testing.assert_allclose(total, values, atol=1e-6 * np.abs(values).max())
    assert np.abs(values).max() > 0


def test_every_object_tells_how_it_was_made_and_no_file_but_dicom_names_the_patient(explained, run_folder):
    checksum = json.loads((run_folder / "provenance.json").read_text())["weights_sha256"]
    sidecar = json.loads(only(explained, "*/maps/*.json").read_text())
    assert checksum in json.dumps(sidecar)
    assert "research use only" in json.dumps(sidecar)
    for path in explained.rglob("*"):
        assert "SYNTHETIC-1" not in path.name
        if path.is_file() and path.suffix != ".dcm":
            data = path.read_bytes()
            assert b"Phantom^Synthetic" not in data
            assert b"SYNTHETIC-1" not in data
    for path in explained.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        assert str(dataset.PatientID) == "SYNTHETIC-1"
        assert checksum in str(dataset)


def test_a_second_run_does_nothing_and_another_target_does_it_again(explained, sphere_ct, run_folder):
    common = ["explain", str(sphere_ct), str(explained), "--run", str(run_folder)]
    common += ["--points", str(explained.parent / "points.csv")]
    done = only(explained, "*/explained.json")
    before = done.stat().st_mtime_ns
    assert main(common) == 0
    assert done.stat().st_mtime_ns == before
    assert main([*common, "--target", "malignancy", "spiculation", "--formats", "nifti"]) == 0
    assert done.stat().st_mtime_ns != before
    assert (done.parent / "maps" / "cdam_spiculation.nii.gz").is_file()
    assert main(common) == 0


def test_every_map_of_an_output_is_judged_unless_told_not_to(explained, sphere_ct, run_folder, tmp_path, write_points):
    (row,) = predictions(explained)
    judged = {name: row[f"cdam_malignancy_{name}"] for name in TRUST}
    assert 0 <= float(judged["fidelity_percentile"]) <= 100
    assert -1 <= float(judged["stability"]) <= 1
    assert judged["sanity"] in {"True", "False"}
    common = ["explain", str(sphere_ct), str(tmp_path / "out"), "--run", str(run_folder), "--formats", "nifti"]
    assert main([*common, "--points", str(write_points()), "--no-trust"]) == 0
    (plain,) = predictions(tmp_path / "out")
    assert not {f"cdam_malignancy_{name}" for name in TRUST} & set(plain)


def test_a_zip_gives_what_its_folder_gives(explained, sphere_ct, run_folder, tmp_path, write_points):
    archive = tmp_path / "ct.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, path in enumerate(sorted(sphere_ct.iterdir())):
            file.write(path, f"../../{number}.dcm")  # such names must not lead out of the temporary folder
    common = ["--run", str(run_folder), "--points", str(write_points()), "--formats", "nifti"]
    assert main(["explain", str(archive), str(tmp_path / "out"), *common]) == 0
    (row,) = predictions(tmp_path / "out")
    (expected,) = predictions(explained)
    assert row["malignancy"] == expected["malignancy"]
    assert not list(tmp_path.parent.glob("*.dcm"))


def test_lidc_nodules_are_found_by_their_series_and_compared_with_the_readers(phantom_tree, run_folder, tmp_path):
    out = tmp_path / "out"
    series = phantom_tree / "LIDC-IDRI-0001"
    assert main(["explain", str(series), str(out), "--run", str(run_folder)]) == 0
    (row,) = predictions(out)
    assert row["nodule_id"] == "LIDC-IDRI-0001-01"
    assert (row["n_readers"], row["readers_malignancy"]) == ("4", "4.75")
    assert 0 <= float(row["cdam_malignancy_inside"]) <= 1
    labels = np.asarray(nib.load(only(out, "*/nodules.nii.gz")).dataobj)
    segmentation = hd.seg.segread(only(out, "*/dicom/seg/nodules.dcm"))
    volume = segmentation.get_volume(combine_segments=True)
    assert volume.array.sum() == labels.sum() > 0
    for index in np.argwhere(volume.array)[::50]:
        lps = volume.map_indices_to_reference(index[None])[0]
        ras = np.linalg.inv(nib.load(only(out, "*/nodules.nii.gz")).affine) @ [-lps[0], -lps[1], lps[2], 1]
        assert labels[tuple(np.rint(ras[:3]).astype(int))] == volume.array[tuple(index)]


def test_a_broken_series_among_others_is_told_and_the_others_are_explained(phantom_tree, run_folder, tmp_path, capsys):
    tree = tmp_path / "dicom"
    shutil.copytree(phantom_tree, tree)
    files = sorted((tree / "LIDC-IDRI-0003").rglob("*.dcm"))
    files[len(files) // 2].unlink()
    out = tmp_path / "out"
    assert main(["explain", str(tree), str(out), "--run", str(run_folder), "--formats", "nifti"]) == 2
    assert "1 of 2 series could not be explained" in capsys.readouterr().err
    rows = list(predictions(out))
    assert {row["nodule_id"] for row in rows} == {"LIDC-IDRI-0001-01"}


def broken_run(run_folder: Path, folder: Path) -> Path:
    shutil.copytree(run_folder, folder / "broken")
    (folder / "broken" / "weights.safetensors").write_bytes(b"not weights")
    return folder / "broken"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input": "empty"}, "no DICOM CT image"),
        ({"input": "gap"}, "missing slice"),
        ({"run": "empty"}, "not a run folder"),
        ({"run": "broken"}, "checksum"),
        ({"points": "x,y,z\n900,0,0\n"}, "lies outside the CT"),
        ({"points": "x,y\n1,2\n"}, "no column z"),
        ({"points": "x,y,z\n1,2,nan\n"}, "line 2"),
        ({"points": "x,y,z,series_uid\n4,-9,17,1.2.3\n"}, "none of its 1 point(s) names a series"),
        ({"points": None}, "no LIDC-IDRI annotation"),
        ({"--target": "beauty"}, "the run has malignancy"),
        ({"--method": "magic"}, "known: "),
        ({"--formats": "nifti,png"}, "expected some of nifti"),
        ({"--views": "oblique"}, "expected some of axial"),
        ({"--target": "spiculation-beauty"}, "contrasts of two"),
        ({"--target": "margin-margin"}, "always 0"),
        ({"--concept": "absent"}, "expected a nodule store, or a folder of DICOM series"),
        ({"--method": "vision_diffmask"}, "ctxai train-diffmask"),
        ({"--views": "axial", "--spread": ""}, "expected two --views or more"),
        ({"--formats": "seg", "--spread": ""}, "nifti among --formats"),
        ({"--target": "malignancy-margin", "--method": "partial_lrp"}, "found a concept, a contrast or a callable"),
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing_half_written(
    sphere_ct, run_folder, tmp_path, write_points, capsys, options, words
):
    (tmp_path / "empty").mkdir()
    gap = tmp_path / "gap"
    shutil.copytree(sphere_ct, gap)
    (gap / "020.dcm").unlink()
    folders = {"empty": tmp_path / "empty", "gap": gap, "broken": broken_run(run_folder, tmp_path)}
    source = folders.get(options.pop("input", ""), sphere_ct)
    run = folders.get(options.pop("run", ""), run_folder)
    arguments = ["explain", str(source), str(tmp_path / "out"), "--run", str(run)]
    if (text := options.pop("points", "")) is not None:
        arguments += ["--points", str(write_points(text) if text else write_points())]
    arguments += [word for option in options.items() for word in option if word]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*"))


def test_the_real_scan_is_explained_with_its_readers(lidc_0001, run_folder, tmp_path):
    out = tmp_path / "out"
    formats = ["--formats", "ct,nifti,pmap,seg,sr"]
    assert main(["explain", str(lidc_0001), str(out), "--run", str(run_folder), *formats]) == 0
    (row,) = predictions(out)
    assert (row["nodule_id"], row["n_readers"]) == ("LIDC-IDRI-0001-01", "4")
    series = read_series(lidc_0001)
    for pattern in ("*/ct.nii.gz", "*/maps/cdam_malignancy.nii.gz", "*/nodules.nii.gz"):
        image = nib.load(only(out, pattern))
        assert image.shape == series.grid.shape[::-1]
        np.testing.assert_allclose(
            image.affine @ [10, 20, 30, 1] * [-1, -1, 1, 1], [*series.grid.to_lps(np.array([10, 20, 30])), 1], atol=0.01
        )
    values = np.asarray(nib.load(only(out, "*/maps/cdam_malignancy.nii.gz")).dataobj)
    labels = np.asarray(nib.load(only(out, "*/nodules.nii.gz")).dataobj)
    read = np.abs(series.slice_z_mm - float(row["z"])) < 1.3  # the two slices beside the centre
    assert read.sum() == 2
    assert (values[..., read][labels[..., read] > 0] != 0).mean() > 0.95
    dataset = pydicom.dcmread(only(out, "*/dicom/pmap/cdam_malignancy_for.dcm"))
    assert dataset.NumberOfFrames == 133
    assert dataset.StudyInstanceUID == series.study_uid
    assert dataset.FrameOfReferenceUID == series.headers[0].frame_of_reference_uid


def test_a_nifti_gets_the_predictions_of_its_dicom_series_and_nifti_overlays(
    explained, sphere_ct, run_folder, tmp_path, write_points
):
    series = read_series(sphere_ct)
    image = sitk.GetImageFromArray(series.read())
    image.SetSpacing(series.grid.spacing_mm.tolist())
    image.SetOrigin(series.grid.affine[:3, 3].tolist())
    image.SetDirection((series.grid.affine[:3, :3] / series.grid.spacing_mm).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    options = ["--run", str(run_folder), "--points", str(write_points()), "--no-trust"]
    assert main(["explain", str(tmp_path / "ct.nii.gz"), str(tmp_path / "out"), *options]) == 0
    found, expected = predictions(tmp_path / "out"), predictions(explained)
    assert float(found[0]["malignancy"]) == pytest.approx(float(expected[0]["malignancy"]), abs=1e-4)
    assert list((tmp_path / "out").rglob("*.nii.gz")) and not list((tmp_path / "out").rglob("*.dcm"))
