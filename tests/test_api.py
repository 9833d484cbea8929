"""The Python API: what it gives is what the command line writes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

import ctxai
from ctxai.cli import main
from ctxai.errors import InputError, RunError

from folders import contents
from sphere import SPHERE


@pytest.fixture(scope="module")
def run(run_folder):
    return ctxai.Run.open(run_folder)


@pytest.fixture(scope="module")
def image(sphere_ct) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(sphere_ct)))
    return reader.Execute()


def test_the_package_imports_without_torch_and_knows_its_names():
    code = (
        "import sys, ctxai; loaded = {name.partition('.')[0] for name in sys.modules};"
        "assert not loaded & {'torch', 'numpy', 'pandas', 'pydicom', 'SimpleITK'}, loaded;"
        "assert set(ctxai.__all__) <= set(dir(ctxai))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_of_methods_is_the_function_too():
    from ctxai.explain import CDAM

    assert ctxai.explain.CDAM is CDAM
    with pytest.raises(InputError, match=r"absent"):
        ctxai.explain("absent")


def test_results_are_written_as_by_the_command_line(sphere_ct, run_folder, run, tmp_path):
    (tmp_path / "points.csv").write_text("x,y,z,nodule_id,diameter_mm\n{},{},{},sphere,14\n".format(*SPHERE))
    points = pd.DataFrame([dict(zip("xyz", SPHERE, strict=True)) | {"nodule_id": "sphere", "diameter_mm": 14}])
    common = ["--run", str(run_folder), "--points", str(tmp_path / "points.csv"), "--no-trust"]
    assert main(["explain", str(sphere_ct), str(tmp_path / "command"), *common]) == 0
    results = ctxai.explain(str(sphere_ct), points, run=run, trust=False)
    assert results.write(tmp_path / "python") == tmp_path / "python" / "report.html"
    assert contents(tmp_path / "python") == contents(tmp_path / "command")
    written = pd.read_csv(tmp_path / "python" / "predictions.csv")
    assert results.table["malignancy"].tolist() == pytest.approx(written["malignancy"].tolist())


def test_folder_image_and_array_give_the_same_prediction_and_map(sphere_ct, image, run):
    array = sitk.GetArrayFromImage(image)
    opened = [sphere_ct, image, (array, image.GetSpacing(), image.GetOrigin(), image.GetDirection())]
    found = [ctxai.explain(ctxai.open_series(one), [SPHERE], run=run, trust=False) for one in opened]
    for other in found[1:]:
        np.testing.assert_allclose(other.table["malignancy"], found[0].table["malignancy"], rtol=1e-5)
        expected = found[0].maps["cdam", "malignancy"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(other.maps["cdam", "malignancy"], expected, atol=1e-3 * scale)
    assert scale > 0


def test_the_map_of_an_array_lies_where_the_array_does(image, run, tmp_path):
    results = ctxai.explain(ctxai.open_series(image), [SPHERE], run=run, trust=False)
    results.write(tmp_path)
    (path,) = tmp_path.glob("*/maps/cdam_malignancy.nii.gz")
    written = sitk.ReadImage(path)
    for name in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        np.testing.assert_allclose(getattr(written, name)(), getattr(image, name)(), atol=1e-4)


def test_dicom_objects_of_an_array_are_refused_in_one_line_and_nothing_is_left(image, run, tmp_path):
    results = ctxai.explain(ctxai.open_series(image), [SPHERE], run=run, trust=False)
    with pytest.raises(InputError, match="pmap, sr: DICOM objects need the headers"):
        results.write(tmp_path / "out", formats=["nifti", "pmap", "sr"])
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_patch_is_predicted_and_explained_as_the_nodule_that_it_was_cut_from(sphere_ct, run):
    (nodule,) = ctxai.explain(sphere_ct, [SPHERE], run=run, trust=False).nodules
    row = run.predict(nodule.patch.hu).iloc[0]
    assert row.malignancy == pytest.approx(nodule.prediction["malignancy"])
    explained = run.explain(nodule.patch.hu)
    alone, in_ct = explained.fused["cdam", "malignancy"], nodule.maps["cdam", "malignancy"]
    axial = slice(31, 33), slice(16, 30), slice(16, 30)  # where no other view reaches
    np.testing.assert_array_equal(alone.values[axial], in_ct.values[axial])
    assert alone.covered[axial].all()
    with pytest.raises(InputError, match="superior, posterior, left"):
        run.explain(nodule.patch.hu[0])


def test_predict_gives_the_table_without_maps(sphere_ct, run):
    table = ctxai.predict(sphere_ct, [SPHERE], run=run)
    assert table.nodule_id.tolist() == ["nodule-001"]
    assert not [name for name in table.columns if name.startswith("cdam")]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ctxai.open_series(np.zeros((2, 2, 2))), "an array needs its spacing"),
        (lambda: ctxai.open_series((np.zeros((2, 2)), (1, 1, 1))), r"\[slice, row, column\]"),
        (lambda: ctxai.open_series((np.full((2, 2, 2), np.nan), (1, 1, 1))), "expected finite"),
        (lambda: ctxai.open_series((np.zeros((2, 2, 2)), (1, 0, 1))), "3 positive mm"),
        (lambda: ctxai.open_series((np.zeros((2, 2, 2)), (1, 1, 1), (0, 0, 0), np.zeros(9))), "not independent"),
        (lambda: ctxai.Run.open("hybrid_vitt_lidc2d"), "did you mean hybrid_vit_lidc2d"),
    ],
)
def test_what_cannot_be_opened_is_told(call, words):
    with pytest.raises((InputError, RunError), match=words):
        call()


def test_points_and_devices_that_are_none_are_told(sphere_ct, run):
    for points in ([(1.0, 2.0)], [(1.0, 2.0, float("nan"))], ["x"]):
        with pytest.raises(InputError, match="3 finite numbers"):
            ctxai.predict(sphere_ct, points, run=run)
    with pytest.raises(InputError, match="no column z"):
        ctxai.predict(sphere_ct, pd.DataFrame({"x": [1.0], "y": [2.0]}), run=run)
    with pytest.raises(InputError, match="--device gpu"):
        ctxai.predict(sphere_ct, [SPHERE], run=run, device="gpu")
