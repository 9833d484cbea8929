import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread

from ctxai.cli import main
from ctxai.detection import training
from ctxai.detection.training import DetectorTraining

from folders import contents
from synthetic_ct import ct_grid, write_ct

GRID = ct_grid((40, 64, 64), (1.5, 1.5, 1.5))


def spheres(folder, seed):
    """A CT of lung with two nodules of 12 mm and a vessel; rows of its marks."""
    rng = np.random.default_rng(seed)
    slices, rows, columns = np.indices(GRID.shape)
    lps = GRID.to_lps(np.stack([columns, rows, slices], axis=-1))
    centres = GRID.to_lps(np.array([[14, 16, 12], [46, 44, 26]]) + rng.integers(-3, 4, (2, 3)))
    hu = np.where(np.linalg.norm(lps[..., None, :] - centres, axis=-1).min(-1) < 6, 40, -850)
    hu[:, 10:12, 40:42] = 30
    write_ct(folder, (hu + rng.normal(0, 15, hu.shape)).astype(np.int16), GRID, seed=str(seed))
    return centres


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("detector")
    centres = spheres(root / "ct" / "one", 1)
    table = pd.DataFrame(centres, columns=["x", "y", "z"]).assign(diameter_mm=12.0)
    table.to_csv(root / "points.csv", index=False)
    return root


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small patches, a checkpoint every 5 steps."""
    settings = training.small_settings
    monkeypatch.setattr(training, "small_settings", lambda mm: replace(settings(mm), patch=(32, 32, 32)))
    monkeypatch.setattr(training, "EPOCH_STEPS", 5)


def train(tree, out, *options):
    short = ["--steps", "5", "--batch_size", "1", "--spacing_mm", "2", "--accelerator", "cpu"]
    return main(["train-detector", str(tree / "ct"), str(out), "--points", str(tree / "points.csv"), *short, *options])


def test_the_same_command_gives_the_same_bytes_also_after_a_kill_and_keeps_what_is_finished(
    tree, tmp_path, monkeypatch, capsys, caplog
):
    assert train(tree, tmp_path / "whole", "--steps", "10") == 0
    record = json.loads((tmp_path / "whole" / "training.json").read_text())
    for number, losses in enumerate(record["epoch_losses"], start=1):  # a line an epoch where stderr is no terminal
        assert f"epoch {number} of 2: loss {sum(losses.values()):.3f}, classification" in caplog.text
    step = DetectorTraining.training_step

    def killed(self, batch, batch_idx):
        if self.global_step == 7:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(DetectorTraining, "training_step", killed)
        assert train(tree, tmp_path / "again", "--steps", "10") == 130
    assert not (tmp_path / "again").exists()
    assert train(tree, tmp_path / "again", "--steps", "5") == 2
    assert "an interrupted training of other options" in capsys.readouterr().err
    assert train(tree, tmp_path / "again", "--steps", "10") == 0
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "whole"]
    monkeypatch.setattr(DetectorTraining, "training_step", None)
    assert train(tree, tmp_path / "again", "--steps", "10") == 0
    assert train(tree, tmp_path / "again", "--steps", "10", "--seed", "1") == 2
    assert "other options or CTs" in capsys.readouterr().err
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


def test_the_record_names_the_patients_without_their_id(tree, tmp_path):
    assert train(tree, tmp_path / "bundle", "--key", str(tmp_path / "key")) == 0
    record = json.loads((tmp_path / "bundle" / "training.json").read_text())
    (series,) = record["series"]
    assert series["nodules"] == 2
    assert series["patient_id"].startswith("patient-")
    assert len(record["epoch_losses"]) == 1
    patient = dcmread(next((tree / "ct").rglob("*.dcm"))).PatientID.encode()
    assert patient and not any(patient in content for content in contents(tmp_path / "bundle").values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--spacing_mm", "9"], "expected 0.5 to 4 mm"),
        (["--steps", "0"], "at least 1 step"),
        (["--accelerator", "gpu"], "gpu"),
    ],
)
def test_wrong_options_are_one_line(tree, tmp_path, options, said, capsys):
    assert train(tree, tmp_path / "bundle", *options) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_marks_without_a_size_and_foreign_folders_are_refused(tree, tmp_path, capsys):
    bare = shutil.copytree(tree, tmp_path / "tree")
    pd.read_csv(bare / "points.csv").drop(columns="diameter_mm").to_csv(bare / "points.csv", index=False)
    assert train(bare, tmp_path / "bundle") == 2
    assert "has no diameter; add a column diameter_mm" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    assert train(tree, tmp_path / "mine") == 2
    assert "is not a detector of `ctxai train-detector`" in capsys.readouterr().err
    (tmp_path / "mine" / "training.json").write_text("{}")
    assert train(tree, tmp_path / "mine", "--no-resume") == 2
    assert "thesis.txt: would be lost" in capsys.readouterr().err


def test_a_detector_that_has_learnt_finds_the_nodules_of_a_ct_that_it_has_not_seen(tree, tmp_path):
    assert train(tree, tmp_path / "bundle", "--steps", "75", "--batch_size", "2", "--learning_rate", "3e-3") == 0
    centres = spheres(tmp_path / "unseen", 2)
    out = tmp_path / "candidates.csv"
    assert main(["detect", str(tmp_path / "unseen"), str(out), "--detector", str(tmp_path / "bundle")]) == 0
    first = pd.read_csv(out).head(2)
    off = np.linalg.norm(first[["x", "y", "z"]].to_numpy()[:, None] - centres, axis=-1)
    assert sorted(off.argmin(1)) == [0, 1]
    assert off.min(1).max() < 6
    assert first.diameter_mm.between(6, 24).all()
