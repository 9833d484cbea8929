import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ctxai.cli import main
from ctxai.commands.pretrain import pretrain
from ctxai.commands.train import train
from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError, RunError, StoreError
from ctxai.models.backbone import make_backbone
from ctxai.models.settings import BackboneConfig, DinoConfig
from ctxai.training.settings import Execution

from cohorts import sphere_store
from folders import contents

BACKBONE = BackboneConfig(depth=1, drop_path_rate=0.0)
QUICK = {
    "views": ViewConfig(views=("axial",), pixels=16),
    "backbone": BACKBONE,
    "optim": DinoConfig(epochs=2, batch_size=8, head_width=16, bottleneck=8, prototypes=16),
    "execution": Execution(accelerator="cpu"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("pretrain") / "store", nodules=24, depth=1)


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "dino"
    pretrain(store.path, folder, **QUICK)
    return folder


def record(folder):
    return json.loads((folder / "provenance.json").read_text())


def test_the_folder_appears_whole_and_says_what_was_seen(store, finished):
    assert [path.name for path in finished.parent.iterdir()] == ["dino"]
    assert set(contents(finished)) == {
        "config.yaml",
        "logs/version_0/metrics.csv",
        "metrics.json",
        "model_card.md",
        "provenance.json",
        "weights.safetensors",
    }
    assert record(finished)["nodules"] == sorted(store.table["nodule_id"])
    assert record(finished)["patients"] == sorted(set(store.table["patient_id"]))
    assert len(json.loads((finished / "metrics.json").read_text())["epochs"]) == 2
    card = (finished / "model_card.md").read_text()
    assert "24 nodules of 12 patients" in card and "Patients of every fold were seen" in card


def test_the_log_is_kept_beside_the_backbone(finished):
    log = pd.read_csv(finished / "logs/version_0/metrics.csv")
    losses = [figures["loss"] for figures in json.loads((finished / "metrics.json").read_text())["epochs"]]
    assert log["loss"].dropna().tolist() == pytest.approx(losses, abs=1e-5)


def test_flags_of_the_trainer_are_options_of_the_pretraining(store, tmp_path, capsys):
    few = {"limit_train_batches": "1"}
    quick = QUICK | {"optim": replace(QUICK["optim"], epochs=1)}
    pretrain(store.path, tmp_path / "few", **quick, trainer=few)
    assert "trainer: {limit_train_batches: 1}" in (tmp_path / "few/config.yaml").read_text()
    again = ["--config", str(tmp_path / "few/config.yaml"), "--accelerator", "cpu"]
    assert main(["pretrain", str(store.path), str(tmp_path / "again"), *again]) == 0
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("few", "again")]
    assert weights[0] == weights[1]
    assert main(["pretrain", str(store.path), str(tmp_path / "b"), "--trainer.max_epochs", "1"]) == 2
    assert "--trainer.max_epochs" in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_a_pretraining_begun_anew_replaces_no_file_of_a_person(store, finished, tmp_path):
    folder = tmp_path / "dino"
    shutil.copytree(finished, folder)
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    with pytest.raises(InputError, match=r"notes\.txt: would be lost with the folder that is replaced"):
        pretrain(store.path, folder, **QUICK | {"execution": Execution(accelerator="cpu", resume=False)})
    assert contents(folder) == before


def test_the_command_of_the_card_gives_the_same_bytes(store, finished, tmp_path):
    config = str(finished / "config.yaml")
    assert main(["pretrain", str(store.path), str(tmp_path / "dino"), "--config", config, "--accelerator", "cpu"]) == 0
    for name in ("weights.safetensors", "config.yaml", "metrics.json", "model_card.md"):
        assert contents(tmp_path / "dino")[name] == contents(finished)[name]


def test_labels_change_nothing(store, finished, tmp_path):
    unlabelled = tmp_path / "store"
    shutil.copytree(store.path, unlabelled)
    columns = [name for name in store.table if name in {"nodule_id", "patient_id", "fault"}]
    type(store)(unlabelled).write_table(store.table[columns])
    pretrain(unlabelled, tmp_path / "dino", **QUICK)
    assert contents(tmp_path / "dino")["weights.safetensors"] == contents(finished)["weights.safetensors"]


def test_the_weights_start_a_training(store, finished, tmp_path):
    started = make_backbone(BackboneConfig(depth=1, weights=finished), pixels=16)
    for name, value in load_file(finished / "weights.safetensors").items():
        assert torch.equal(started.state_dict()[name], value)
    options = {name: QUICK[name] for name in ("views", "execution")}
    train(store.path, tmp_path / "run", backbone=BackboneConfig(depth=1, weights=finished), **options)
    assert "dino" in (tmp_path / "run" / "model_card.md").read_text()


def test_half_precision_halves_the_file(store, finished, tmp_path):
    pretrain(store.path, tmp_path / "dino", half_precision=True, **QUICK)
    half, full = (load_file(folder / "weights.safetensors") for folder in (tmp_path / "dino", finished))
    for name, value in half.items():
        assert torch.equal(value, full[name].half())


def test_faulty_rows_and_the_patients_of_a_fold_are_left_out(store, tmp_path):
    other = tmp_path / "store"
    shutil.copytree(store.path, other)
    table = store.table
    table.loc[3, "fault"] = "outside the CT"
    type(store)(other).write_table(table)
    pretrain(other, tmp_path / "dino", leave_out_fold=0, **QUICK)
    seen = table[(table["fold"] != 0) & (table.index != 3)]
    assert record(tmp_path / "dino")["nodules"] == sorted(seen["nodule_id"])
    assert not set(record(tmp_path / "dino")["patients"]) & set(table.loc[table["fold"] == 0, "patient_id"])
    assert "Patients of fold 0 were left out" in (tmp_path / "dino" / "model_card.md").read_text()


def test_windows_of_further_series_are_seen_too(store, sphere_ct, finished, tmp_path):
    pretrain(store.path, tmp_path / "dino", series=[sphere_ct], windows=8, **QUICK)
    (series,) = record(tmp_path / "dino")["series"]
    assert series["windows"] == 8 and series["slices"] == 40
    assert series["patient_id"] in record(tmp_path / "dino")["patients"]
    assert "8 patches at random places" in (tmp_path / "dino" / "model_card.md").read_text()
    assert contents(tmp_path / "dino")["weights.safetensors"] != contents(finished)["weights.safetensors"]


def test_a_series_of_a_left_out_patient_is_refused(store, sphere_ct, tmp_path):
    pretrain(store.path, tmp_path / "all", series=[sphere_ct], windows=1, **QUICK)
    patient = record(tmp_path / "all")["series"][0]["patient_id"]
    other = tmp_path / "store"
    shutil.copytree(store.path, other)
    table = store.table
    table.loc[table["patient_id"] == "P000", "patient_id"] = patient
    type(store)(other).write_table(table)
    with pytest.raises(StoreError, match="this patient is in fold 0, which is left out"):
        pretrain(other, tmp_path / "dino", series=[sphere_ct], leave_out_fold=0, **QUICK)


def test_a_finished_pretraining_is_kept_and_another_one_is_not_overwritten(store, finished, tmp_path):
    folder = tmp_path / "dino"
    shutil.copytree(finished, folder)
    pretrain(store.path, folder, **QUICK)
    assert contents(folder) == contents(finished)
    with pytest.raises(RunError, match="holds a pretraining of other options or images"):
        pretrain(store.path, folder, **QUICK, seed=1)
    (folder / "provenance.json").unlink()
    with pytest.raises(RunError, match="not the folder of a pretraining"):
        pretrain(store.path, folder, **QUICK)


def test_a_volume_shows_all_its_views(tmp_path):
    volumes = sphere_store(tmp_path / "store", nodules=8)
    pretrain(volumes.path, tmp_path / "dino", **(QUICK | {"views": ViewConfig(pixels=16)}))
    assert np.isfinite(load_file(tmp_path / "dino" / "weights.safetensors")["norm.weight"].numpy()).all()


def test_an_unknown_fold_is_refused_in_one_line(store, tmp_path, capsys):
    assert main(["pretrain", str(store.path), str(tmp_path / "dino"), "--leave_out_fold", "9"]) == 2
    assert capsys.readouterr().err.strip().startswith("error: the store has no patient in fold 9")
