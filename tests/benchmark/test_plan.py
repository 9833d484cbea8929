import json
import shutil
from dataclasses import replace

import numpy as np
import torch

from ctxai.benchmark.plan import contenders, unseen_rows
from ctxai.cli import main
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.views import turn, turn_back
from ctxai.run.run import Run

from runs import untrained_run


def test_cdam_comes_first_and_the_controls_last(axial_run):
    found, missing = contenders(Run.load(axial_run), ["attention_map", "cdam"], seed=0)
    assert list(found) == ["cdam", "attention_map", "random_map", "cdam_randomised"]
    assert not missing


def test_the_control_of_shuffled_weights_averages_over_turns_as_the_run_does():
    run = untrained_run(views=ViewConfig(views=("axial",), pixels=16, turns=8))
    found, _ = contenders(run, ["cdam"], seed=0)
    method, control = found["cdam"], found["cdam_randomised"]
    assert control.options == method.options and control.options["turns"] == 8
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    turned = control.attribute(turn(images, 3), 0)
    torch.testing.assert_close(turn_back(turned, 3), control.attribute(images, 0), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(control.attribute(images, 0), method.attribute(images, 0), rtol=0.1)


def test_the_nodules_are_those_of_the_test_fold(axial_run, crops_store):
    store = NoduleStore(crops_store)
    rows, check = unseen_rows(Run.load(axial_run), store)
    assert check is None
    np.testing.assert_array_equal(rows, np.flatnonzero(store.table["fold"] == 0))


def test_methods_that_were_not_run_are_listed_with_the_reason(axial_run, crops_store, tmp_path):
    command = ["benchmark", str(axial_run), str(crops_store), str(tmp_path), "--methods", "cdam", "vision_diffmask"]
    assert main([*command, "--metrics", "compactness", "--targets", "malignancy", "--limit", "2"]) == 0
    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert "train-diffmask" in record["not_run"]["vision_diffmask"]
    assert set(record["methods"]) == {"cdam", "random_map", "cdam_randomised"}


def test_a_model_that_has_not_learnt_the_planted_trait_is_not_scored(axial_run, planted_store, tmp_path, capsys):
    assert main(["benchmark", str(axial_run), str(planted_store), str(tmp_path)]) == 2
    assert "has not learnt the trait" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_seen_the_test_patients_is_refused(axial_run, crops_store, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(axial_run, run)
    table = NoduleStore(crops_store).table
    record = json.loads((run / "provenance.json").read_text())
    record["patients"]["training"] = sorted(np.unique(table.loc[table["fold"] == 0, "patient_id"]))
    (run / "provenance.json").write_text(json.dumps(record))
    assert main(["benchmark", str(run), str(crops_store), str(tmp_path / "out")]) == 2
    assert "were trained or calibrated on" in capsys.readouterr().err


def test_an_unknown_target_is_refused(axial_run, crops_store, tmp_path, capsys):
    assert main(["benchmark", str(axial_run), str(crops_store), str(tmp_path), "--targets", "halo"]) == 2
    assert "the run has malignancy" in capsys.readouterr().err


def test_folds_by_nodule_are_scored_with_a_warning(axial_run, crops_store, tmp_path, caplog):
    shutil.copytree(crops_store, tmp_path / "store")
    run, store = Run.load(axial_run), NoduleStore(tmp_path / "store")
    table = store.table
    table["patient_id"] = table["patient_id"].iloc[0]  # who is in every fold
    store.write_table(table)
    run.provenance["patients"]["training"] = [str(table["patient_id"].iloc[0])]
    run.config = replace(run.config, folds=replace(run.config.folds, unit="nodule"))
    rows, _ = unseen_rows(run, store)
    np.testing.assert_array_equal(rows, np.flatnonzero(table["fold"] == 0))
    assert "patients lie on both sides of the split" in caplog.text
