import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from ctxai.commands.evaluate import evaluate
from ctxai.commands.train import train
from ctxai.data.labels import split_rows
from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.predictions.evaluation import evaluate_predictions, predict_rows
from ctxai.evaluate.predictions.external import calibration_drift
from ctxai.evaluate.predictions.operating_points import choose_thresholds
from ctxai.models.settings import BackboneConfig, OptimConfig
from ctxai.resources import resource
from ctxai.run.calibration import other_probabilities
from ctxai.run.run import Run
from ctxai.training.settings import Execution

from cohorts import sphere_store


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store and a run trained on it for an epoch."""
    folder = tmp_path_factory.mktemp("evaluate")
    store = sphere_store(folder / "store", nodules=40, depth=1)
    train(
        store.path,
        folder / "run",
        views=ViewConfig(views=("axial",), pixels=16),
        backbone=BackboneConfig(depth=1),
        optim=OptimConfig(epochs=1),
        execution=Execution(accelerator="cpu"),
    )
    return store, folder / "run"


def test_figures_follow_from_the_predictions_file_alone(trained, capsys):
    store, run_dir = trained
    evaluate(run_dir, store.path)
    run = Run.load(run_dir)
    table = pd.read_csv(run_dir / "predictions.csv")
    assert evaluate_predictions(table) == run.metrics["test"]
    assert sorted(table["patient_id"].unique()) == run.provenance["patients"]["test"]
    names = {"roc.png", "precision_recall.png", "reliability.png", "biomarkers.png", "worst_cases.png"}
    names |= {"learning_curve.png"}
    assert {path.name for path in (run_dir / "plots").iterdir()} == names
    auc = f"{run.metrics['test']['malignancy']['auc']['value']:.3f}"
    printed = capsys.readouterr().out
    assert auc in printed and "sphericity" in printed
    assert f"| this run | {auc} (" in (run_dir / "model_card.md").read_text()
    page = (run_dir / "evaluation.html").read_text()
    assert auc in page and page.count("data:image/png;base64,") == 5
    assert "epoch_losses" in run.metrics["training"]


def test_thresholds_and_calibrations_come_from_the_validation_fold(trained):
    store, run_dir = trained
    evaluate(run_dir, store.path)
    run = Run.load(run_dir)
    validation = predict_rows(run, store, split_rows(store.table, run.config.folds).validation)
    labels, probability = validation["label_malignancy"], validation["malignancy_probability"]
    expected = choose_thresholds(labels.to_numpy(), probability.to_numpy())
    assert run.metrics["validation"]["thresholds"] == pytest.approx(expected, abs=1e-6)
    called = (run.predictions["malignancy_probability"] >= expected["youden"]).astype(int)
    assert run.predictions["called_youden"].tolist() == called.tolist()
    others = other_probabilities(
        *(column.to_numpy() for column in (validation["malignancy_logit"], labels, run.predictions["malignancy_logit"]))
    )
    assert run.predictions["probability_isotonic"].to_numpy() == pytest.approx(others["isotonic"], abs=1e-4)


def test_pictures_can_be_left_out(trained):
    store, run_dir = trained
    evaluate(run_dir, store.path)
    evaluate(run_dir, store.path, pictures=False)
    assert not (run_dir / "plots" / "worst_cases.png").exists()
    assert "Worst cases" not in (run_dir / "evaluation.html").read_text()


def test_a_baseline_is_trained_once_and_compared_with_ever_after(trained, monkeypatch):
    store, run_dir = trained
    evaluate(run_dir, store.path, baselines=["resnet18"], accelerator="cpu")
    first = Run.load(run_dir).metrics["test"]["malignancy"]
    assert 0 <= first["resnet18_auc"]["value"] <= 1
    monkeypatch.setattr("ctxai.evaluate.predictions.baselines.network_scores", None)
    evaluate(run_dir, store.path, baselines=["resnet18"])
    evaluate(run_dir, store.path)
    assert Run.load(run_dir).metrics["test"]["malignancy"] == first
    with pytest.raises(InputError, match="--baselines vgg: expected some of resnet18, random_vit"):
        evaluate(run_dir, store.path, baselines=["vgg"])


def test_what_the_manifest_knows_of_a_scan_is_used(trained, tmp_path):
    store, run_dir = trained
    scans = pd.read_csv(resource("data_manifests", "scans.csv"))
    readings = pd.read_csv(resource("data_manifests", "readings.csv"))
    table = store.table
    known = table.assign(
        series_uid=scans["series_uid"].iloc[: len(table)].to_numpy(),
        reading_ids=[f"{a}|{b}" for a, b in readings["reading_id"].iloc[: 2 * len(table)].to_numpy().reshape(-1, 2)],
    )
    store.write_table(known)
    try:
        evaluate(run_dir, store.path)
    finally:
        store.write_table(table)
    run = Run.load(run_dir)
    row = known[known["nodule_id"] == run.predictions["nodule_id"][0]].iloc[0]
    thickness = scans.set_index("series_uid")["slice_thickness_mm"][row["series_uid"]]
    assert run.predictions["slice_thickness_mm"][0] == thickness
    diameters = readings.set_index("reading_id")["diameter_mm"]
    first = diameters[int(row["reading_ids"].split("|")[0])]
    assert float(run.predictions["diameter_ratings"][0].split("|")[0]) == pytest.approx(first, rel=1e-4)
    assert "readers" in run.metrics["test"]["targets"]["diameter"]
    assert sum(g["nodules"] for g in run.metrics["test"]["subgroups"]["slice thickness"].values()) == 8


def test_hand_made_features_are_compared_on_the_same_nodules(trained, tmp_path):
    store, run_dir = trained
    features = store.table[["nodule_id", "texture_mean"]]
    features.to_csv(tmp_path / "features.csv", index=False)
    evaluate(run_dir, store.path, features=tmp_path / "features.csv")
    found = Run.load(run_dir).metrics["test"]["malignancy"]
    assert found["features_auc"]["value"] == 1.0
    assert found["auc_minus_features"]["value"] == pytest.approx(found["auc"]["value"] - 1.0)
    with pytest.raises(InputError, match="no such file; give a CSV with nodule_id"):
        evaluate(run_dir, store.path, features=tmp_path / "absent.csv")


def test_a_store_whose_test_patients_were_trained_on_is_refused(trained, tmp_path):
    store, run_dir = trained
    other = sphere_store(tmp_path / "other", nodules=40, depth=1)
    other.write_table(store.table.assign(fold=(store.table["fold"] + 2) % 5))
    with pytest.raises(InputError, match="4 patients of its test fold were trained or calibrated on"):
        evaluate(run_dir, other.path)


def other_store(folder, nodules=24):
    """Nodules of other patients, drawn by another seed."""
    store = sphere_store(folder, nodules=nodules, depth=1, seed=5)
    store.write_table(store.table.assign(patient_id=lambda table: "other-" + table["patient_id"]))
    return store


def test_another_store_is_refused_unless_it_is_an_external_validation(trained, tmp_path):
    store, run_dir = trained
    other = other_store(tmp_path / "other")
    with pytest.raises(InputError, match="--external NAME"):
        evaluate(run_dir, other.path)
    with pytest.raises(InputError, match="leave --external out"):
        evaluate(run_dir, store.path, external="elsewhere")
    with pytest.raises(InputError, match="name of letters"):
        evaluate(run_dir, other.path, external="../elsewhere")


def test_an_external_validation_replaces_no_file_of_a_person(trained, tmp_path):
    store, run_dir = trained
    own = run_dir / "external" / "elsewhere" / "letter.pdf"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(InputError, match=r"letter\.pdf: would be lost"):
        evaluate(run_dir, store.path, external="elsewhere")
    assert own.read_text() == "mine"
    shutil.rmtree(own.parents[1])


def test_an_external_validation_stands_beside_the_runs_own_figures(trained, tmp_path):
    store, run_dir = trained
    evaluate(run_dir, store.path)
    own = Run.load(run_dir)
    other = other_store(tmp_path / "other")
    evaluate(run_dir, other.path, external="elsewhere")
    run = Run.load(run_dir)
    assert run.metrics["test"] == own.metrics["test"] and run.predictions.equals(own.predictions)
    found = run.metrics["external"]["elsewhere"]
    assert found["store"]["nodules"] == len(other)
    assert found["malignancy"]["calibration_drift"]["prevalence"] == 0.5
    table = pd.read_csv(run_dir / "external" / "elsewhere" / "predictions.csv")
    assert len(table) == len(other)  # every fold
    called = (table["malignancy_probability"] >= run.metrics["validation"]["thresholds"]["youden"]).astype(int)
    assert table["called_youden"].tolist() == called.tolist()  # the run's own threshold
    card = (run_dir / "model_card.md").read_text()
    assert "## External validation" in card and "| elsewhere | 24 |" in card
    evaluate(run_dir, store.path)
    assert Run.load(run_dir).metrics["external"]["elsewhere"] == found


def test_patients_that_the_run_has_learnt_from_validate_nothing(trained, tmp_path):
    _, run_dir = trained
    with pytest.raises(InputError, match="has learnt from"):
        evaluate(run_dir, sphere_store(tmp_path / "same", nodules=24, depth=1, seed=5).path, external="same")


def test_drift_tells_probabilities_that_are_too_extreme_or_too_low():
    generator = np.random.default_rng(0)
    true = expit(generator.normal(0, 1.5, 20_000))
    labels = (generator.uniform(size=len(true)) < true).astype(float)
    extreme = calibration_drift(expit(2 * logit(true)), labels)
    assert extreme["slope"] == pytest.approx(0.5, abs=0.03) and extreme["intercept"] == pytest.approx(0, abs=0.1)
    low = calibration_drift(expit(logit(true) - 1), labels)
    assert low["slope"] == pytest.approx(1, abs=0.05) and low["intercept"] == pytest.approx(1, abs=0.1)
    assert low["prevalence"] > low["mean_probability"] + 0.1
