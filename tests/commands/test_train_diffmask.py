import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from ctxai.cli import main, parse
from ctxai.commands.train import train
from ctxai.commands.train_diffmask import SETTINGS, train_diffmask
from ctxai.ct.series import read_series
from ctxai.data.settings import AugmentConfig, ViewConfig
from ctxai.data.views import render_own_views
from ctxai.errors import InputError, RunError, StoreError
from ctxai.explain import VisionDiffMask
from ctxai.explain.diffmask.gates import Gates
from ctxai.explain.diffmask.training import DiffMaskTraining
from ctxai.explain.network import Network
from ctxai.files import sha256
from ctxai.inference.nodule import explain_nodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.run.files import GATES
from ctxai.run.gates import load_gates
from ctxai.run.run import Run
from ctxai.training.settings import Execution

from cohorts import sphere_store
from sphere import SPHERE


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("diffmask") / "store", nodules=40, depth=1)


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """A run that tells spheres apart."""
    folder = tmp_path_factory.mktemp("diffmask") / "run"
    train(
        store.path,
        folder,
        views=ViewConfig(views=("axial",), pixels=32),
        backbone=BackboneConfig(depth=1),
        optim=OptimConfig(epochs=8, batch_size=8, learning_rate=1e-3),
        augment=AugmentConfig(noise_hu=0.0),
        execution=Execution(accelerator="cpu"),
    )
    return folder


@pytest.fixture
def run_dir(trained, tmp_path):
    """A copy of the run."""
    return shutil.copytree(trained, tmp_path / "run")


def images_of(store, run, rows):
    return render_own_views(torch.from_numpy(np.stack([store.hu(row) for row in rows])), run.views).flatten(0, 1)


def test_training_changes_what_is_kept_until_it_is_what_the_answer_needs(store, run_dir):
    run = Run.load(run_dir)
    images = images_of(store, run, range(0, 40, 2))  # bright spheres of 16 to 24 mm, in 32 mm
    sphere = images[:, 0].unflatten(1, (4, 8)).unflatten(3, (4, 8)).mean(dim=(2, 4)) > 0
    train_diffmask(run_dir, store.path, epochs=1, batch_size=8)
    begun = load_gates(run).attribute(images)
    train_diffmask(run_dir, store.path, epochs=130, batch_size=8)
    kept = load_gates(run).attribute(images)
    assert begun.min() > 0.9
    assert kept.mean() < 0.6
    assert kept[sphere].mean() > kept[~sphere].mean() + 0.2


def test_the_same_command_gives_the_same_bytes_and_touches_nothing_else(store, run_dir, tmp_path):
    before = {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}
    assert main(["train-diffmask", str(run_dir), str(store.path), "--epochs", "1"]) == 0
    after = {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}
    gates = after.pop(GATES)
    assert after == before
    for name, seed in (("again", 0), ("other", 1)):
        train_diffmask(run_dir, store.path, out=tmp_path / name / "gates.safetensors", epochs=1, seed=seed)
        written = (tmp_path / name / "gates.safetensors").read_bytes()
        assert (written == gates) == (seed == 0)


def test_only_patients_that_the_run_was_trained_on_are_seen(store, run_dir, tmp_path):
    other = type(store)(shutil.copytree(store.path, tmp_path / "store"))
    held_out = np.flatnonzero(store.table["fold"].isin([0, 1]))
    blank = np.zeros(store.patch_shape, np.int16)
    for row in held_out:
        other.write(int(row), blank, blank, blank + 1)
    for number, folder in enumerate((store.path, other.path)):
        train_diffmask(run_dir, folder, out=tmp_path / f"{number}.safetensors", epochs=1)
    assert sha256(tmp_path / "0.safetensors") == sha256(tmp_path / "1.safetensors")
    row = int(np.flatnonzero(store.table["fold"] == 2)[0])
    other.write(row, blank, blank, blank + 1)
    train_diffmask(run_dir, other.path, out=tmp_path / "2.safetensors", epochs=1)
    assert sha256(tmp_path / "0.safetensors") != sha256(tmp_path / "2.safetensors")


def test_malignancy_counts_as_a_probability_and_biomarkers_as_z_scores(trained):
    run = Run.load(trained)
    training = DiffMaskTraining(Network(run.model), Gates(8, 3, 1.0, 0.0), SETTINGS)
    generator = torch.Generator().manual_seed(0)
    whole, masked = torch.randn(2, 6, 9, generator=generator).unbind()
    p, q = whole[:, 0].sigmoid(), masked[:, 0].sigmoid()
    bernoulli = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    expected = (bernoulli + (whole[:, 1:] - masked[:, 1:]).square().sum(dim=1)).mean()
    torch.testing.assert_close(training._divergence(whole, masked), expected)


def test_explain_uses_the_gates_of_the_run(store, run_dir, sphere_ct, write_points, tmp_path):
    train_diffmask(run_dir, store.path, epochs=2)
    out = tmp_path / "out"
    command = ["explain", str(sphere_ct), str(out), "--run", str(run_dir), "--points", str(write_points())]
    assert main([*command, "--method", "vision_diffmask"]) == 0
    (path,) = out.glob("*/maps/*.nii.gz")
    run = Run.load(run_dir)
    method = VisionDiffMask(run.model, run_dir / GATES)
    finding = NoduleCandidate("sphere", SPHERE, 14.0)
    expected = explain_nodule(read_series(sphere_ct), finding, run, [method], ["malignancy"], run.views.views)
    fused = expected.maps["vision_diffmask", "malignancy"].values
    values = np.asarray(nib.load(path).dataobj)
    assert values.max() == pytest.approx(fused.max(), abs=1e-4)
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json")).read_text()
    assert json.loads(sidecar)["provenance"]["options"]["checkpoint"] == sha256(run_dir / GATES)
    assert str(tmp_path) not in sidecar


def test_a_run_without_gates_says_which_command_makes_them(
    trained, store, run_dir, sphere_ct, write_points, tmp_path, capsys
):
    command = ["explain", str(sphere_ct), str(tmp_path / "out"), "--points", str(write_points())]
    command += ["--method", "vision_diffmask", "--run", str(run_dir)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"run `ctxai train-diffmask {run_dir} STORE_DIR` first" in error
    assert error.count("\n") == 1
    VisionDiffMask(Run.load(run_dir).model).fit([torch.zeros(1, 3, 32, 32)]).save(run_dir / GATES, "0" * 64)
    with pytest.raises(RunError, match="gates of other weights than the run's"):
        load_gates(Run.load(run_dir))


def test_stores_that_the_run_was_not_trained_on_are_refused(store, trained, run_dir, tmp_path):
    other = type(store)(shutil.copytree(store.path, tmp_path / "store"))
    other.write_table(store.table.assign(fold=(store.table["fold"] + 1) % 5))
    with pytest.raises(InputError, match="not trained on 4 patients of its training folds"):
        train_diffmask(run_dir, other.path)
    with pytest.raises(StoreError, match="not a nodule store"):
        train_diffmask(run_dir, tmp_path)
    with pytest.raises(RunError, match="no such run"):
        train_diffmask(tmp_path / "absent", store.path)
    with pytest.raises(InputError, match="at least 1"):
        train_diffmask(run_dir, store.path, epochs=0)
    assert not (run_dir / GATES).exists()


def test_the_optimisation_can_be_set_from_the_command_line():
    _, values = parse(["train-diffmask", "run", "store", "--settings.margin", "0.2", "--settings.divergence", "mixed"])
    settings = values.kwargs["settings"]
    assert (settings.margin, settings.divergence) == (0.2, "mixed")
    assert settings.warmup_steps == SETTINGS.warmup_steps
