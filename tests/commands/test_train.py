import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from ctxai.cli import main, parse
from ctxai.commands.evaluate import evaluate
from ctxai.commands.train import train
from ctxai.data.settings import VIEWS, AugmentConfig, FoldConfig, ViewConfig
from ctxai.errors import InputError, RunError, StoreError
from ctxai.models.backbone import make_backbone
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.run.run import Run
from ctxai.training.settings import ComputeConfig, Execution

import folders
from cohorts import sphere_store

QUICK = {
    "views": ViewConfig(pixels=16),
    "backbone": BackboneConfig(depth=1),
    "optim": OptimConfig(epochs=2, batch_size=8),
    "execution": Execution(accelerator="cpu"),
}


ANEW = QUICK | {"execution": Execution(accelerator="cpu", resume=False)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("stage") / "store", nodules=40)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_folder_appears_whole_and_records_its_folds(store, tmp_path):
    train(store.path, tmp_path / "run", **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    run = Run.load(tmp_path / "run")
    table = store.table
    for part, folds in {"test": {0}, "validation": {1}, "training": {2, 3, 4}}.items():
        expected = sorted(set(table.loc[table["fold"].isin(folds), "patient_id"]))
        assert run.provenance["patients"][part] == expected
    assert run.calibration.counts["malignancy"] == 8
    assert len(run.metrics["training"]["epoch_losses"]) == 2
    assert run.views.mean != ViewConfig().mean


def test_the_same_command_gives_the_same_bytes(store, tmp_path):
    for name in ("a", "b"):
        train(store.path, tmp_path / name / "run", half_precision=True, **QUICK)
    assert contents(tmp_path / "a/run") == contents(tmp_path / "b/run")


def test_the_calibration_is_fitted_on_the_validation_fold_alone(store, tmp_path):
    train(store.path, tmp_path / "plain", **QUICK)
    other = tmp_path / "store"
    shutil.copytree(store.path, other)
    table = store.table
    table.loc[table["fold"] == 0, "malignancy_mean"] = 3.3  # test labels may be anything
    type(store)(other).write_table(table)
    train(other, tmp_path / "other", **QUICK)
    calibrations = [json.loads((tmp_path / name / "calibration.json").read_text()) for name in ("plain", "other")]
    assert calibrations[0] == calibrations[1]


def test_a_finished_run_is_kept_and_another_one_is_not_overwritten(store, tmp_path):
    train(store.path, tmp_path / "run", **QUICK)
    before = contents(tmp_path / "run")
    train(store.path, tmp_path / "run", **QUICK)
    assert contents(tmp_path / "run") == before
    with pytest.raises(RunError, match="holds a run of other options"):
        train(store.path, tmp_path / "run", **QUICK, seed=1)
    train(store.path, tmp_path / "run", **ANEW, seed=1)
    assert Run.load(tmp_path / "run").config.seed == 1


@pytest.fixture
def begun(store, tmp_path, monkeypatch):
    """A run folder whose training was interrupted."""

    ordinary = NoduleClassifier.training_step

    def asked(self, batch, batch_idx):
        if self.global_step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return ordinary(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(NoduleClassifier, "training_step", asked)
        with pytest.raises(KeyboardInterrupt, match="step 2, epoch 1 of 2"):
            train(store.path, tmp_path / "run", **QUICK)
    return tmp_path / "run"


def test_an_interrupted_training_of_other_options_is_refused_and_kept(store, begun):
    work = begun.with_name(".run.training")
    before = folders.contents(work)
    assert any(name.endswith("last.ckpt") for name in before)
    with pytest.raises(RunError, match=r"checkpoint here \(seed was 0, now 9\); give the same options"):
        train(store.path, begun, **QUICK | {"seed": 9})
    assert folders.contents(work) == before
    train(store.path, begun, **QUICK)
    assert not work.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("command", ["train", "pretrain"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--accelerator gpu", "--accelerator gpu: this machine has none that PyTorch can use; give cpu or auto"),
        ("--accelerator cuda", "--accelerator cuda: this machine has none that PyTorch can use; give cpu or auto"),
        ("--accelerator gqu", "--accelerator gqu: expected one of auto, cpu, cuda, gpu, mps, tpu; did you mean gpu?"),
        ("--devices 0", "--devices 0: expected a whole number from 1"),
        ("--devices=-1", "--devices -1: expected a whole number from 1"),
        ("--num-nodes 0", "--num-nodes 0: expected a whole number from 1"),
        (
            "--logger wandb",
            "--logger wandb: the package is not installed; `pip install wandb`, or --logger csv",
        ),
    ],
)
def test_hardware_that_is_not_here_is_refused_in_one_line(command, options, said, store, tmp_path, capsys):
    assert main([command, str(store.path), str(tmp_path / "run"), *options.split()]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"execution": Execution(accelerator="tpux", resume=False)}, "accelerator"),
        ({"compute": ComputeConfig("fp16")}, "compute.precision fp16: needs a GPU"),
        ({"trainer": {"max_epochs": "3"}}, "trainer.max_epochs"),
        ({"trainer": {"limit_train_batches": "0"}}, "leaves none of"),
        ({"trainer": {"strategy": "no_such"}}, "trainer.strategy: refused by Lightning"),
    ],
)
def test_what_is_refused_costs_no_checkpoint(store, begun, options, said):
    before = folders.contents(begun.with_name(".run.training"))
    with pytest.raises(InputError, match=said):
        train(store.path, begun, **ANEW | options)
    assert folders.contents(begun.with_name(".run.training")) == before


def test_an_interrupted_training_is_removed_when_that_is_asked_for(store, begun):
    train(store.path, begun, **ANEW | {"seed": 9})
    assert Run.load(begun).config.seed == 9 and not begun.with_name(".run.training").exists()


def test_unusable_stores_are_refused_before_anything_is_written(store, tmp_path):
    with pytest.raises(StoreError, match="not a nodule store"):
        train(tmp_path / "absent", tmp_path / "run", **QUICK)
    other = tmp_path / "store"
    shutil.copytree(store.path, other)
    type(store)(other).write_table(store.table.assign(label_malignancy=1.0))
    with pytest.raises(StoreError, match="both classes are needed"):
        train(other, tmp_path / "run", **QUICK)
    with pytest.raises(InputError, match="not one of timm's vision transformers"):
        train(store.path, tmp_path / "run", **(QUICK | {"backbone": BackboneConfig(name="resnet18")}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shuffled", [False, True])
def test_real_labels_are_learnt_and_shuffled_ones_are_not(tmp_path, shuffled):
    store = sphere_store(tmp_path / "store", nodules=50, depth=1)
    train(
        store.path,
        tmp_path / "run",
        views=ViewConfig(views=("axial",), pixels=16),
        backbone=BackboneConfig(depth=2),
        optim=OptimConfig(epochs=8, batch_size=8, learning_rate=1e-3),
        augment=AugmentConfig(noise_hu=0.0),
        shuffle_labels=shuffled,
        execution=Execution(accelerator="cpu"),
    )
    evaluate(tmp_path / "run", store.path)
    test = Run.load(tmp_path / "run").metrics["test"]
    error = test["targets"]["malignancy"]["mae"]["value"]
    assert error > 1.0 if shuffled else error < 0.8  # always the middle of the scale is wrong by 1.5
    if not shuffled:
        assert test["malignancy"]["auc"]["value"] == 1.0


@pytest.mark.parametrize("name", ["default", "lidc2d", "tiny"])
def test_every_bundled_training_config_is_understood(name):
    _, values = parse(["train", "store", "run", "--config", f"{name}.yaml"])
    assert set(values.kwargs["views"].views) <= set(VIEWS)
    assert values.kwargs["optim"].epochs > 1


def test_the_options_of_a_run_train_the_same_run_again(store, tmp_path):
    train(store.path, tmp_path / "a" / "run", **QUICK)
    assert (
        main(["train", str(store.path), str(tmp_path / "b/run"), "--config", str(tmp_path / "a/run/config.yaml")]) == 0
    )
    assert contents(tmp_path / "a/run") == contents(tmp_path / "b/run")


def test_a_run_keeps_its_log_and_tells_every_epoch_where_no_bar_is(store, tmp_path):
    small = ["--views.pixels", "16", "--backbone.depth", "1", "--optim.epochs", "2", "--accelerator", "cpu"]
    command = [sys.executable, "-m", "ctxai", "train", str(store.path), str(tmp_path / "run"), *small]
    done = subprocess.run([*command, "--folds.monitor", "0.2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    log = pd.read_csv(tmp_path / "run/logs/version_0/metrics.csv")
    run = Run.load(tmp_path / "run")
    assert log["loss"].dropna().tolist() == pytest.approx(run.metrics["training"]["epoch_losses"], abs=1e-5)
    monitored = [figures["loss"] for figures in run.metrics["training"]["monitored"]]
    assert log["validation_loss"].dropna().tolist() == pytest.approx(monitored, abs=1e-5)
    assert any(name.startswith("lr-AdamW") for name in log.columns)


def test_flags_of_the_trainer_are_options_of_the_run(store, tmp_path):
    few = {"limit_train_batches": "2"}
    train(store.path, tmp_path / "a" / "run", **QUICK, trainer=few)
    config = tmp_path / "a/run/config.yaml"
    assert Run.load(config.parent).config.trainer == {"limit_train_batches": 2}
    assert main(["train", str(store.path), str(tmp_path / "b/run"), "--config", str(config)]) == 0
    assert contents(tmp_path / "a/run") == contents(tmp_path / "b/run")
    with pytest.raises(RunError, match="other options"):
        train(store.path, tmp_path / "a" / "run", **QUICK)


def test_all_folds_are_asked_for_by_one_word():
    _, values = parse(["train", "store", "run", "--folds", "all"])
    assert values.arguments["folds"] == FoldConfig(test="all")


def test_patch_and_image_size_follow_a_backbone_unless_asked(tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(make_backbone(BackboneConfig(depth=1), 48).state_dict(), weights)
    (tmp_path / "asked.yaml").write_text("views: {pixels: 64}")
    named = ["--backbone.name", "vit_base_patch16_dinov3"]
    assert sizes() == (8, 64)
    assert sizes(*named) == (None, 256)
    assert sizes(*named, "--backbone.patch_size", "8") == (8, 256)
    assert sizes(*named, "--config", tmp_path / "asked.yaml") == (None, 64)
    assert sizes("--backbone.name", "vit_small_patch14_reg4_dinov2") == (None, 518)
    assert sizes("--backbone.weights", weights) == (8, 48)
    assert sizes("--backbone.weights", weights, "--views.pixels", "32") == (8, 32)
    assert sizes("--config", "lidc2d.yaml", "--backbone.weights", "null") == (8, 64)


def sizes(*words):
    _, values = parse(["train", "store", "run", *map(str, words)])
    values.apply_defaults()
    return values.arguments["backbone"].patch_size, values.arguments["views"].pixels


def test_a_named_network_trains_at_its_own_sizes_and_a_file_of_others_is_refused(store, tmp_path, capsys):
    weights = tmp_path / "patches-of-8.pth"
    torch.save(make_backbone(BackboneConfig(depth=1), 32).state_dict(), weights)
    named = ["--backbone.name", "vit_tiny_patch16_224", "--backbone.depth", "1"]
    words = ["train", str(store.path), str(tmp_path / "run"), "--optim.epochs", "1", "--accelerator", "cpu", *named]
    small = ["--views.pixels", "32", "--optim.batch_size", "8"]
    assert main([*words, *small, "--backbone.weights", str(weights)]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert "patches of 8 px, but this backbone has 16 px" in line and not (tmp_path / "run").exists()
    heads = ["--heads.readout", "ordinal", "--heads.outline", "1", "--heads.features", "1"]
    assert main([*words, *small, *heads]) == 0
    run = Run.load(tmp_path / "run")
    assert run.config.backbone.patch_size is None and run.config.views.pixels == 32
    assert run.outlines(np.zeros((1, 64, 64, 64), np.int16)).shape[-1] == 4  # two by two a token of 16 px
