"""`ctxai explain` told what to explain, how, and what to write."""

import json
import shutil

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.export.overlay import merge_maps

from runs import untrained_run
from sphere import SPHERE, nodule_at, only, predictions


def test_several_methods_and_only_predictions_can_be_asked_for(sphere_ct, run_folder, tmp_path, write_points):
    common = [
        "explain",
        str(sphere_ct),
        str(tmp_path / "out"),
        "--run",
        str(run_folder),
        "--points",
        str(write_points()),
    ]
    assert main([*common, "--method", "cdam", "attention_map", "--formats", "nifti", "--views", "axial"]) == 0
    assert len(list((tmp_path / "out").glob("*/maps/*.nii.gz"))) == 2
    (row,) = predictions(tmp_path / "out")
    assert main([*common[:2], str(tmp_path / "plain"), *common[3:], "--no-maps"]) == 0
    (plain,) = predictions(tmp_path / "plain")
    assert plain["malignancy"] == row["malignancy"]
    assert not list((tmp_path / "plain").glob("*/maps"))


def test_contrasts_and_concepts_are_explained_beside_outputs(sphere_ct, run_folder, tmp_path, write_points):
    examples = tmp_path / "dense-cap"
    shutil.copytree(sphere_ct, examples)
    (examples / "points.csv").write_text("x,y,z\n{},{},{}\n".format(*SPHERE))
    common = ["explain", str(sphere_ct), str(tmp_path / "out"), "--run", str(run_folder), "--points"]
    common += [str(write_points()), "--target", "spiculation", "lobulation", "spiculation-lobulation"]
    assert main([*common, "--concept", str(examples)]) == 0
    folder = only(tmp_path / "out", "*/explained.json").parent
    names = ("spiculation", "lobulation", "spiculation-lobulation", "dense-cap")
    assert {path.name for path in folder.glob("maps/*.nii.gz")} == {f"cdam_{name}.nii.gz" for name in names}
    assert {path.name for path in folder.glob("dicom/seg/*.dcm")} == {f"cdam_{name}_bands.dcm" for name in names}
    first, second, contrast, concept = (
        np.asarray(nib.load(folder / "maps" / f"cdam_{name}.nii.gz").dataobj) for name in names
    )
    np.testing.assert_allclose(contrast, first - second, atol=1e-5 * np.abs(first).max())
    assert np.abs(concept).max() > 0
    (row,) = predictions(tmp_path / "out")
    assert {f"cdam_{name}_inside" for name in names} <= set(row)
    assert [f"cdam_{name}_fidelity" in row for name in names] == [True, True, False, False]  # outputs of the model
    sidecar = json.loads((folder / "maps" / "cdam_dense-cap.json").read_text())
    checksum = sidecar["provenance"]["options"]["concept_sha256"]
    before = (folder / "explained.json").stat().st_mtime_ns
    assert main([*common, "--concept", str(examples)]) == 0
    assert (folder / "explained.json").stat().st_mtime_ns == before
    (examples / "points.csv").write_text("x,y,z\n{},{},{}\n".format(*SPHERE + 6))  # another concept of this name
    assert main([*common, "--concept", str(examples)]) == 0
    sidecar = json.loads((folder / "maps" / "cdam_dense-cap.json").read_text())
    assert sidecar["provenance"]["options"]["concept_sha256"] != checksum


def test_the_spread_over_views_is_written_on_demand(sphere_ct, run_folder, tmp_path, write_points):
    common = ["explain", str(sphere_ct), str(tmp_path / "out"), "--run", str(run_folder)]
    common += ["--points", str(write_points()), "--formats", "nifti"]
    assert main(common) == 0
    assert not list((tmp_path / "out").glob("*/maps/*_spread*"))
    assert main([*common, "--spread"]) == 0
    path = only(tmp_path / "out", "*/maps/cdam_malignancy_spread.nii.gz")
    image, shown = nib.load(path), nib.load(path.with_name("cdam_malignancy.nii.gz"))
    np.testing.assert_array_equal(image.affine, shown.affine)
    nodule = nodule_at(sphere_ct, SPHERE, untrained_run())
    expected = merge_maps([(nodule.maps["cdam", "malignancy"].std, nodule.patch.grid)], read_series(sphere_ct).grid)
    assert expected.max() > 0
    np.testing.assert_allclose(sitk.GetArrayFromImage(sitk.ReadImage(path)), expected, atol=1e-6)
    described = json.loads(path.with_name("cdam_malignancy_spread.json").read_text())["provenance"]
    assert described["options"]["statistic"] == "standard deviation over views"


def test_options_of_a_method_are_given_after_its_name(sphere_ct, run_folder, tmp_path, write_points, capsys):
    common = ["explain", str(sphere_ct), str(tmp_path / "out"), "--run", str(run_folder), "--points"]
    common += [str(write_points()), "--formats", "nifti", "--no-trust", "--method"]
    assert main([*common, "smooth_cdam:n_samples=2,seed=3"]) == 0
    sidecar = json.loads(only(tmp_path / "out", "*/maps/smooth?cdam_malignancy.json").read_text())
    assert {"n_samples": 2, "seed": 3}.items() <= sidecar["provenance"]["options"].items()
    for wrong, said in (
        ("smooth_cdam:samples=2", "unexpected keyword argument 'samples'"),
        ("smooth_cdam:n_samples", "expected NAME:OPTION=VALUE"),
        ("smoth_cdam:seed=1", "did you mean smooth_cdam?"),
    ):
        assert main([*common, wrong]) == 2
        assert said in capsys.readouterr().err
    assert main([*common, "smooth_cdam", "smooth_cdam:seed=1"]) == 2
    assert "--method smooth_cdam: given twice" in capsys.readouterr().err
