import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from ctxai.cli import main
from ctxai.commands.export_bundle import export_bundle
from ctxai.ct.grid import Grid
from ctxai.run.bundle import PATCH_SHAPE, load_network
from ctxai.run.files import NOVELTY
from ctxai.run.ood import Novelty
from ctxai.run.run import Run

from folders import contents
from runs import untrained_run

CENTRE = np.array([-31.0, 12.5, 140.25])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = untrained_run()
    images = np.random.default_rng(0).normal(-500, 300, (12, *PATCH_SHAPE)).astype(np.int16)
    run.novelty = Novelty.fit(run.features(images), np.arange(12) // 2)
    run.save(tmp_path_factory.mktemp("runs") / "run")
    return run


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    export_bundle(run.path, out)
    return out


def sphere_in_lung(grid):
    """A nodule of 7 mm radius, off the centre, in lung of uneven density."""
    slices, rows, columns = np.indices(grid.shape)
    lps = grid.to_lps(np.stack([columns, rows, slices], axis=-1))
    distance = np.linalg.norm(lps - CENTRE - np.array([3.0, -2.0, 4.0]), axis=-1)
    lung = -850 + 2 * (lps - CENTRE) @ [1.0, -0.5, 0.25]
    return np.rint(np.where(distance < 7, 40, lung)).astype(np.int16)


def write_nifti(path, hu, grid):
    """NIfTI of an array [slice, row, column], with its axes in another order and two of them flipped."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine  # (column, row, slice) -> RAS
    image = nib.Nifti1Image(hu.transpose(2, 1, 0), affine)
    turned = np.array([[1, -1], [2, 1], [0, -1]])
    nib.save(image.as_reoriented(turned), path)


def monai_runner(*arguments, cwd):
    command = [sys.executable, "-m", "monai.bundle", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_monais_runner_predicts_what_the_run_predicts(run, bundle, tmp_path):
    grid = Grid.cube(CENTRE, (72, 66, 70), 1.0)
    hu = sphere_in_lung(grid)
    write_nifti(tmp_path / "ct.nii.gz", hu, grid)
    beside = CENTRE + np.array([2.0, 0.0, -3.0])
    points = pd.DataFrame([["middle", *CENTRE], ["beside", *beside]], columns=["nodule_id", *"xyz"])
    points.to_csv(tmp_path / "points.csv", index=False)
    config = ["--config_file", bundle / "configs" / "inference.json", "--bundle_root", bundle]
    data = ["--image", "ct.nii.gz", "--points", "points.csv", "--output", "predictions.csv"]
    done = monai_runner("run", *config, *data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "predictions.csv")
    assert found["nodule_id"].tolist() == ["middle", "beside"]
    np.testing.assert_array_equal(found[[*"xyz"]], [CENTRE, beside])
    padded = np.pad(hu, 8, constant_values=-1024)
    patches = [padded[s : s + 64, r : r + 64, c : c + 64] for s, r, c in [(12, 9, 11), (9, 9, 13)]]
    expected = run.predict(np.stack(patches))
    assert found.columns[4:].tolist() == expected.columns.tolist()
    np.testing.assert_allclose(found.iloc[:, 4:], expected, rtol=1e-6)  # float32, and one patch at a time
    assert abs(np.subtract(*expected["malignancy_logit"])) > 1e-3  # so that a wrong place would show


def test_the_metadata_describes_the_network_as_monai_checks_it(run, bundle, tmp_path):
    files = [
        "--meta_file",
        bundle / "configs" / "metadata.json",
        "--config_file",
        bundle / "configs" / "inference.json",
    ]
    done = monai_runner("verify_net_in_out", "network_def", *files, "--bundle_root", bundle, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert {"schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"} | {
        *("task", "description", "authors", "copyright", "network_data_format")  # what the schema requires
    } <= set(metadata)
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert [*pred["channel_def"].values()] == run.predict(np.zeros((1, *PATCH_SHAPE))).columns.tolist()
    assert metadata["intended_use"].startswith("Research use only")


def test_an_ensemble_is_exported_by_its_name_whole(tmp_path):
    out, ensemble = tmp_path / "bundle", Run.open("hybrid_ensemble_lidc2d")
    assert main(["export-bundle", ensemble.name, str(out)]) == 0
    novelty = (out / "models" / "run" / NOVELTY).read_bytes()
    assert novelty == (ensemble.folder / NOVELTY).read_bytes()
    files = ["--meta_file", out / "configs" / "metadata.json", "--config_file", out / "configs" / "inference.json"]
    done = monai_runner("verify_net_in_out", "network_def", *files, "--bundle_root", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    network = load_network(out / "models" / "run")
    patches = np.random.default_rng(1).normal(-500, 300, (2, *PATCH_SHAPE)).astype(np.int16)
    expected = ensemble.predict_marked(patches)
    assert {"malignancy_spread", "novelty_percentile"} < set(expected.columns) == set(network.columns)
    found = network(torch.from_numpy(patches).float()[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_second_export_gives_the_same_bytes_and_no_pickle(bundle, run, tmp_path):
    export_bundle(run.path, tmp_path / "bundle")
    export_bundle(run.path, tmp_path / "bundle")  # replaces the first
    assert contents(tmp_path / "bundle") == contents(bundle)
    assert set(contents(bundle)) == {
        *("LICENSE", "docs/README.md", "configs/inference.json", "configs/metadata.json"),
        *(f"models/run/{name}.json" for name in ("calibration", "metrics", "provenance")),
        *("models/run/config.yaml", "models/run/weights.safetensors", "models/run/novelty.safetensors"),
    }
    assert b"Apache License" in contents(bundle)["LICENSE"]


@pytest.mark.parametrize(("source", "target"), [("absent", "out"), ("run", "run")])
def test_a_missing_run_or_a_folder_of_something_else_gives_one_line(source, target, run, tmp_path, capsys):
    run.save(tmp_path / "run")
    before = contents(tmp_path)
    assert main(["export-bundle", str(tmp_path / source), str(tmp_path / target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert contents(tmp_path) == before
