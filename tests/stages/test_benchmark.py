"""`ctxai benchmark` on two dozen nodules and a model of random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ctxai.cli import main
from ctxai.data.planted import RECORD
from ctxai.data.store import NoduleStore
from ctxai.evaluate.subjects import read_subjects
from ctxai.explain import RandomMap
from ctxai.models.run import Run

METHODS = ("cdam", "attention_map", "input_x_gradient")
COMMON = ["--methods", *METHODS, "--targets", "malignancy", "spiculation", "--limit", "4", "--effort.again", "2"]


@pytest.fixture(scope="module")
def store(planted_store, tmp_path_factory) -> Path:
    """The planted nodules as an ordinary store."""
    folder = tmp_path_factory.mktemp("benchmark") / "store"
    shutil.copytree(planted_store, folder)
    (folder / RECORD).unlink()
    return folder


@pytest.fixture(scope="module")
def finished(axial_run, store, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("benchmark") / "out"
    assert main(["benchmark", str(axial_run), str(store), str(out), *COMMON]) == 0
    return out


def results(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv", keep_default_na=False, na_values=[""])


def test_every_method_and_both_controls_are_in_every_table(finished):
    table = results(finished)
    assert set(table["method"]) == {*METHODS, "random_map", "cdam_randomised"}
    assert set(table["target"]) == {"malignancy", "spiculation"}
    assert (table["n"] <= 4).all()
    known = table.dropna(subset=["low", "high"])
    assert (known["low"] <= known["value"] + 1e-6).all()
    assert (known["value"] <= known["high"] + 1e-6).all()
    for name in ("benchmark.html", "results.md"):
        assert all(method in (finished / name).read_text() for method in METHODS)


def test_attention_does_not_depend_on_the_target(finished):
    table = results(finished)
    row = table[(table["metric"] == "class_sensitivity") & (table["method"] == "attention_map")]
    assert row["value"].item() == 1


def test_fills_are_named_and_the_published_one_is_there(finished):
    metrics = set(results(finished)["metric"])
    assert {"fidelity[lung_mean, steps=10]", "fidelity[blur_14, steps=10]", "deletion[lung_mean, steps=10]"} <= metrics


def test_methods_that_were_not_run_are_listed_with_the_reason(axial_run, store, tmp_path):
    command = ["benchmark", str(axial_run), str(store), str(tmp_path), "--methods", "cdam", "vision_diffmask"]
    assert main([*command, "--metrics", "compactness", "--targets", "malignancy", "--limit", "2"]) == 0
    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert "train-diffmask" in record["not_run"]["vision_diffmask"]
    assert set(record["methods"]) == {"cdam", "random_map", "cdam_randomised"}


def test_chance_is_the_mean_of_several_random_maps(finished, axial_run, store):
    scores = pd.read_csv(finished / "scores" / "random_map.csv")
    assert not scores.duplicated(["target", "metric", "place", "nodule_id"]).any()
    found = scores[(scores["target"] == "malignancy") & (scores["metric"] == "compactness")].set_index("nodule_id")
    run, nodules = Run.load(axial_run), NoduleStore(store)
    rows = np.flatnonzero(nodules.table["nodule_id"].isin(found.index))
    subjects = read_subjects(nodules, rows, run.views)
    maps = torch.stack([RandomMap(run.model, seed).attribute(subjects.images, target=0) for seed in range(10)])
    share = (maps < 0.05 * maps.amax((2, 3), keepdim=True)).float().mean((0, 2, 3))
    expected = dict(zip(subjects.nodule_ids, share.tolist(), strict=True))
    np.testing.assert_allclose(found["score"], [expected[nodule] for nodule in found.index], atol=1e-6)


def test_finished_methods_are_kept_and_missing_ones_made(finished, axial_run, store):
    before = {path.name: path.stat().st_mtime_ns for path in (finished / "scores").iterdir()}
    table = results(finished)
    (finished / "scores" / "cdam.json").unlink()
    assert main(["benchmark", str(axial_run), str(store), str(finished), *COMMON]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (finished / "scores").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"cdam.csv", "cdam.json", "cdam.npy"}
    again = results(finished)
    same = [name for name in table if name != "forward_passes"]
    pd.testing.assert_frame_equal(table[same], again[same])


def test_shards_give_the_tables_once_all_are_done(axial_run, store, tmp_path, finished):
    whole, out = tmp_path / "whole", tmp_path / "out"
    shutil.copytree(finished, whole)
    command = ["benchmark", str(axial_run), str(store), str(out), *COMMON]
    assert main([*command, "--shard", "0/2"]) == 0
    assert not (out / "results.csv").exists()
    assert main([*command, "--shard", "1/2"]) == 0
    assert (out / "results.csv").exists()
    for folder in (whole, out):  # the measured cost aside, every byte is the same
        for path in (folder / "scores").glob("*.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"forward_passes": 1.0}))
        assert main(["benchmark", str(axial_run), str(store), str(folder), *COMMON]) == 0
    paths = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert not [path for path in paths if (out / path).read_bytes() != (whole / path).read_bytes()]


def test_a_model_that_has_not_learnt_the_planted_trait_is_not_scored(axial_run, planted_store, tmp_path, capsys):
    assert main(["benchmark", str(axial_run), str(planted_store), str(tmp_path)]) == 2
    assert "has not learnt the trait" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_seen_the_test_patients_is_refused(axial_run, store, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(axial_run, run)
    table = NoduleStore(store).table
    record = json.loads((run / "provenance.json").read_text())
    record["patients"]["training"] = sorted(np.unique(table.loc[table["fold"] == 0, "patient_id"]))
    (run / "provenance.json").write_text(json.dumps(record))
    assert main(["benchmark", str(run), str(store), str(tmp_path / "out")]) == 2
    assert "were trained or calibrated on" in capsys.readouterr().err


def test_an_unknown_target_is_refused(axial_run, store, tmp_path, capsys):
    assert main(["benchmark", str(axial_run), str(store), str(tmp_path), "--targets", "halo"]) == 2
    assert "the run has malignancy" in capsys.readouterr().err
