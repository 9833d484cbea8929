"""A run of three targets of one's own from a CSV, from the labels to the overlays, the bundle and another cohort."""

import contextlib
import json
import os
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from starlette.testclient import TestClient

from ctxai.cli import main
from ctxai.data.store import NoduleStore
from ctxai.open.answers import Answers
from ctxai.open.server import OpenServer
from ctxai.open.session import Session
from ctxai.open.study import Study
from ctxai.run.run import Run

from sphere import SPHERE

# Two or three nodules of each of five patients, one of each fold, close together in the CT; two patients of their own.
PATIENTS = tuple(f"LIDC-IDRI-{number}" for number in ("0708", "0407", "0347", "0375", "0237"))
OTHERS = ("LIDC-IDRI-0052", "LIDC-IDRI-0044")
EXPLAINED = "LIDC-IDRI-0708"
TABLE = """\
- {name: resected, kind: binary, classes: ["no", "yes"]}
- {name: doubling_time, kind: regression, unit: d, low: 0, code: ["12345", "99HOSPITAL", "Volume doubling time"]}
- {name: sort, kind: multiclass, classes: [solid, part-solid, ground glass]}
"""
OUTPUTS = ("resected", "doubling_time", "sort_solid", "sort_part_solid", "sort_ground_glass")
TRAINING = [
    *("--views.pixels", "16", "--backbone.depth", "1", "--optim.epochs", "2", "--optim.batch_size", "4"),
    *("--folds.min_readers", "1", "--folds.training_min_readers", "1", "--accelerator", "cpu"),
]


def ok(*words):
    assert main([str(word) for word in words]) == 0


def labelled_store(folder, patients):
    """A phantom cohort, ingested with a CSV of labels."""
    ok("phantom", folder / "ct", "--patients", *patients, "--margin_mm", "2")
    ok("ingest", folder / "ct", folder / "plain")
    table = NoduleStore(folder / "plain").table[["nodule_id", "diameter_mm"]]
    number = np.arange(len(table))
    labels = table[["nodule_id"]].assign(
        Resected=np.where(number % 2, "yes", "no"),
        Doubling_Time=(20 * table.diameter_mm).round(1),
        sort=np.array(["solid", "part-solid", "ground glass"])[number % 3],
    )
    labels.to_csv(folder / "labels.csv", index=False)
    ok("ingest", folder / "ct", folder / "store", "--labels", folder / "labels.csv")
    return folder / "store"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    store = labelled_store(folder, PATIENTS)
    (folder / "targets.yaml").write_text(TABLE)
    ok("train", store, folder / "run", "--targets", folder / "targets.yaml", *TRAINING)
    ok("evaluate", folder / "run", store)
    return folder


@pytest.fixture(scope="module")
def explained(world):
    targets = ["resected", "doubling_time", "sort_solid-sort_ground_glass"]
    ct = world / "ct" / EXPLAINED
    options = ["--run", world / "run", "--target", *targets, "--formats", "nifti,pmap,seg,sr,pdf", "--no-trust"]
    ok("explain", ct, world / "out", *options)
    return world / "out"


def test_the_run_predicts_the_three_targets_and_tells_their_figures(world):
    run = Run.load(world / "run")
    assert run.target_names == OUTPUTS
    found = run.metrics["test"]["own_targets"]
    assert {name: row["kind"] for name, row in found.items()} == {
        "resected": "binary",
        "doubling_time": "regression",
        "sort": "multiclass",
    }
    assert all(row["nodules"] > 0 for row in found.values())
    assert run.calibration.targets["doubling_time"].counts["doubling_time"] > 0


def test_a_config_of_the_run_trains_the_same_run_again(world):
    ok("train", world / "store", world / "again", "--config", world / "run" / "config.yaml", "--accelerator", "cpu")
    assert Run.load(world / "again").weights_sha256 == Run.load(world / "run").weights_sha256


def test_predictions_maps_and_page_are_of_these_targets(world, explained):
    table = pd.read_csv(explained / "predictions.csv")
    probabilities = table[[f"{output}_probability" for output in OUTPUTS[2:]]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (table.doubling_time >= 0).all() and table.resected_probability.between(0, 1).all()
    assert not any("malignancy" in name for name in table if not name.startswith("readers_"))
    (folder,) = {path.parent for path in explained.glob("*/maps/cdam_doubling_time.nii.gz")}
    values = np.asarray(nib.load(folder / "cdam_doubling_time.nii.gz").dataobj)
    assert np.isfinite(values).all() and np.any(values)
    page = (explained / "report.html").read_text()
    assert "doubling_time, d" in page and "resected: yes" in page and "predicted malignancy" not in page
    (resource,) = json.loads((explained / "datapackage.json").read_text())["resources"]
    meanings = {field["name"]: field["description"] for field in resource["schema"]["fields"]}
    assert meanings["doubling_time"] == "predicted doubling_time, d"


def test_the_structured_report_has_units_and_the_given_concept(explained):
    (path,) = explained.glob("*/dicom/sr/*.dcm")
    (report,) = [pydicom.dcmread(path)]
    numbers = [item for item in walk(report) if item.ValueType == "NUM"]
    found = {
        (
            item.ConceptNameCodeSequence[0].CodeMeaning,
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in numbers
    }
    assert ("Volume doubling time", "d") in found
    assert ("Resected, yes: probability", "%") in found and ("Sort, ground glass: probability", "%") in found
    codes = {item.ConceptNameCodeSequence[0].CodingSchemeDesignator for item in numbers}
    assert "99HOSPITAL" in codes


def walk(item):
    for inner in item.get("ContentSequence", ()):
        yield inner
        yield from walk(inner)


def test_maps_of_own_targets_are_benchmarked(world):
    options = ["--limit", "2", "--methods", "cdam", "--metrics", "compactness", "abpc", "class_sensitivity"]
    ok("benchmark", world / "run", world / "store", world / "comparison", *options)
    scores = pd.read_csv(world / "comparison" / "results.csv")
    assert set(OUTPUTS) <= set(scores.target)


def test_the_bundle_fits_its_own_description(world):
    ok("export-bundle", world / "run", world / "bundle")
    configs = world / "bundle" / "configs"
    words = ["verify_net_in_out", "network_def", "--meta_file", configs / "metadata.json"]
    words += ["--config_file", configs / "inference.json", "--bundle_root", world / "bundle"]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *map(str, words)],
        cwd=world,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    metadata = json.loads((configs / "metadata.json").read_text())
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()
    assert {"resected_probability", "doubling_time", "sort_solid_possible"} <= set(channels)


def test_the_run_is_validated_on_a_second_cohort(world, tmp_path):
    other = labelled_store(tmp_path, OTHERS)
    ok("evaluate", world / "run", other, "--external", "second")
    found = json.loads((world / "run" / "external" / "second" / "metrics.json").read_text())
    usable = NoduleStore(other).table.fault.fillna("") == ""
    assert found["own_targets"]["doubling_time"]["nodules"] == usable.sum() > 0
    assert "slope" in found["own_targets"]["resected"]["calibration_drift"]
    assert "### second" in (world / "run" / "model_card.md").read_text()


def test_the_first_target_is_explained_where_none_is_asked_for(world, tmp_path):
    ok("explain", world / "ct" / EXPLAINED, tmp_path / "out", "--run", world / "run", "--no-trust")
    maps = {path.name for path in (tmp_path / "out").glob("*/maps/*.nii.gz")}
    assert any(name.startswith("cdam_resected") for name in maps) and not any("doubling" in name for name in maps)


def test_the_page_of_open_tells_each_target_with_its_unit_and_its_map(world, tmp_path):
    study, session = Study(world / "ct" / EXPLAINED), Session(tmp_path / "session")
    answers = Answers(world / "run", lambda mark, row: session.answer(mark.key, row), "cpu")
    place = NoduleStore(world / "store").table.set_index("patient_id").loc[[EXPLAINED]].iloc[0]
    with contextlib.closing(study), contextlib.closing(session):
        with TestClient(OpenServer(study, session, answers).app) as client:
            (series,) = client.get("/state").json()["series"]
            where = {axis: float(place[axis]) for axis in "xyz"}
            mark = client.post("/marks", json={"series": series["key"], **where}).json()
            asked = {"series": mark["series"], "nodule_id": mark["nodule_id"], "method": "cdam"}
            maps = []
            for target in ("doubling_time", "sort_solid"):
                while not (answer := client.post("/answers", json=asked | {"target": target}).json())["ended"]:
                    time.sleep(0.02)
                assert answer["error"] == "" and answer["map"]
                maps.append(client.post("/map", json=asked | {"target": target}).content)
            given = {"resected": "yes", "doubling_time": 150, "sort": "solid"}
            named = {name: asked[name] for name in ("series", "nodule_id")}
            said = client.post("/verdicts", json=named | {"verdict": "disagree", "values": given}).json()
            assert said["verdicts"][0]["values"] == given
            state = client.get("/state").json()
        answers.end()
    review = pd.read_csv(tmp_path / "session" / "review.csv").iloc[0]
    assert review[[f"reader_{name}" for name in given]].tolist() == [*given.values()]
    assert review["model_doubling_time"] == pytest.approx(answer["row"]["doubling_time"])
    assert review["model_resected_probability_high"] == pytest.approx(answer["row"]["resected_probability_high"])
    assert review["model_sort_solid_probability"] == pytest.approx(answer["row"]["sort_solid_probability"])
    assert [one["name"] for one in state["fields"]] == [*given]
    assert state["run"]["targets"] == [*OUTPUTS] and state["run"]["own"] is True
    told = {one["name"]: one for one in answer["own"]}
    assert set(told) == {"resected: yes", "doubling_time, d", "sort"}
    assert float(told["doubling_time, d"]["predicted"]) == pytest.approx(answer["row"]["doubling_time"], abs=0.1)
    assert told["sort"]["outputs"] == [*OUTPUTS[2:]] and "possible" in told["sort"]["interval"]
    assert state["marks"][0]["own"] == answer["own"] and maps[0] != maps[1]


def test_gates_of_vision_diffmask_are_trained_for_own_targets(world, tmp_path, capsys):
    gates = tmp_path / "gates.safetensors"
    ok("train-diffmask", world / "run", world / "store", "--out", gates, "--epochs", "1", "--device", "cpu")
    assert gates.is_file() and "patches are kept" in capsys.readouterr().out


def test_a_folder_of_two_models_tells_each_nodule_by_its_own_targets(world, sphere_ct, tmp_path):
    out, points = tmp_path / "out", tmp_path / "points.csv"
    ok("explain", world / "ct" / EXPLAINED, out, "--run", world / "run", "--no-maps")
    points.write_text("x,y,z\n" + ",".join(str(value) for value in SPHERE) + "\n")
    ok("explain", sphere_ct, out, "--points", points, "--no-maps")
    page, header = (out / "report.html").read_text(), json.loads((out / "predictions.json").read_text())
    assert "targets" not in header and [*header["models"]] == [Run.load(world / "run").weights_sha256]
    assert "doubling_time, d" in page and "predicted malignancy" in page
    (resource,) = json.loads((out / "datapackage.json").read_text())["resources"]
    meanings = {field["name"]: field["description"] for field in resource["schema"]["fields"]}
    assert meanings["doubling_time"] == "predicted doubling_time, d" and meanings["malignancy"].startswith("predicted")
