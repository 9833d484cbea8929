"""`ctxai benchmark` on two dozen nodules and a model of random weights."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from ctxai.benchmark.plan import make_plan, unseen_rows
from ctxai.cli import main
from ctxai.data.store import NoduleStore
from ctxai.evaluate.explanations.effort import Effort
from ctxai.run.run import Run

METHODS = ("cdam", "attention_map", "input_x_gradient")
COMMON = ["--methods", *METHODS, "--targets", "malignancy", "spiculation", "--limit", "4", "--effort.again", "2"]


@pytest.fixture(scope="module")
def finished(axial_run, crops_store, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("benchmark") / "out"
    assert main(["benchmark", str(axial_run), str(crops_store), str(out), *COMMON]) == 0
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


def test_finished_methods_are_kept_and_missing_ones_made(finished, axial_run, crops_store):
    before = {path.name: path.stat().st_mtime_ns for path in (finished / "scores").iterdir()}
    table = results(finished)
    (finished / "scores" / "cdam.json").unlink()
    assert main(["benchmark", str(axial_run), str(crops_store), str(finished), *COMMON]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (finished / "scores").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"cdam.csv", "cdam.json", "cdam.npy"}
    again = results(finished)
    same = [name for name in table if name != "forward_passes"]
    pd.testing.assert_frame_equal(table[same], again[same])


def test_shards_give_the_tables_once_all_are_done(axial_run, crops_store, tmp_path, finished):
    whole, out = tmp_path / "whole", tmp_path / "out"
    shutil.copytree(finished, whole)
    command = ["benchmark", str(axial_run), str(crops_store), str(out), *COMMON]
    assert main([*command, "--shard", "0/2"]) == 0
    assert not (out / "results.csv").exists()
    assert main([*command, "--shard", "1/2"]) == 0
    assert (out / "results.csv").exists()
    for folder in (whole, out):  # the measured cost aside, every byte is the same
        for path in (folder / "scores").glob("*.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"forward_passes": 1.0}))
        assert main(["benchmark", str(axial_run), str(crops_store), str(folder), *COMMON]) == 0
    paths = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert not [path for path in paths if (out / path).read_bytes() != (whole / path).read_bytes()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_here_is_refused_in_one_line(axial_run, crops_store, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["benchmark", str(axial_run), str(crops_store), str(out), *COMMON, "--device", "cuda"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not out.exists()


def test_the_nodules_are_where_the_model_is(axial_run, crops_store):
    run, store = Run.open(axial_run), NoduleStore(crops_store)
    run.to("meta")
    plan = make_plan(run, store, unseen_rows(run, store)[0][:2], None, [], "lung_mean", Effort(), 0)
    images = plan.subjects.first(1).images
    assert {images.device.type, plan.subjects.labels.device.type, plan.subjects.masks["readers"].device.type} == {
        "meta"
    }
    assert run.model(images).device.type == "meta"
