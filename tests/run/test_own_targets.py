"""Targets of one's own, trained, calibrated and evaluated."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from ctxai.commands.evaluate import evaluate
from ctxai.commands.train import train
from ctxai.data.settings import FoldConfig, ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError
from ctxai.evaluate.predictions.evaluation import predict_rows
from ctxai.evaluate.predictions.operating_points import POINTS, choose_thresholds
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.settings import BackboneConfig, HeadsConfig, OptimConfig
from ctxai.run.run import Run
from ctxai.training.settings import Execution

from cohorts import sphere_store

TABLE = [
    {"name": "resected", "kind": "binary", "classes": ["no", "yes"]},
    {"name": "volume", "kind": "regression", "unit": "mm3", "low": 0},
    {"name": "kind", "kind": "multiclass", "classes": ["solid", "part-solid", "ground glass"]},
    {"name": "stage", "kind": "ordinal", "low": 1, "high": 3, "cut_offs": [1.5, 2.5]},
]
QUICK = {
    "views": ViewConfig(views=("axial",), pixels=16),
    "backbone": BackboneConfig(depth=1),
    "optim": OptimConfig(epochs=12, batch_size=8, learning_rate=3e-3),
    "execution": Execution(accelerator="cpu"),
    "seed": 1,
}


def own_store(folder, seed=0, prefix="P", nodules=60, folds=5):
    """Spheres whose labels follow from their size and density."""
    store = sphere_store(folder, nodules=nodules, depth=1, seed=seed)
    table = store.table
    large = table.diameter_mm > 12
    place = np.digitize(table.diameter_mm, [7.5, 20])
    table = table.assign(
        patient_id=table.patient_id.str.replace("P", prefix),
        resected=np.where(large, "yes", "no"),
        volume=table.diameter_mm**3 * math.pi / 6,
        kind=np.array(["ground glass", "part-solid", "solid"])[place],
        stage=1.0 + place,
        unknown=np.nan,
        fold=table.fold % folds,
    )
    table.loc[:3, "resected"] = None
    store.write_table(table)
    return store


def given(table=TABLE):
    return [json.dumps(one) for one in table]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return own_store(tmp_path_factory.mktemp("own") / "store")


@pytest.fixture(scope="module")
def run_dir(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(store.path, folder, targets=given(), **QUICK)
    evaluate(folder, store.path)
    return folder


def test_each_kind_is_learnt_and_evaluated_by_its_own_figures(run_dir):
    run = Run.load(run_dir)
    assert run.target_names == ("resected", "volume", "kind_solid", "kind_part_solid", "kind_ground_glass", "stage")
    found = run.metrics["test"]["own_targets"]
    value = {name: {key: one["value"] for key, one in row["figures"].items()} for name, row in found.items()}
    assert value["resected"]["auc"] > 0.9
    assert value["volume"]["spearman"] > 0.8
    assert value["stage"]["mae"] < 0.5  # between levels that are 1 apart
    assert value["kind"]["macro_auc"] > 0.8 and value["kind"]["accuracy"] > 0.6
    assert found["volume"]["unit"] == "mm3" and found["resected"]["nodules"] <= found["volume"]["nodules"]


def test_the_files_of_the_run_tell_its_targets(run_dir):
    run = Run.load(run_dir)
    assert [one.name for one in run.config.targets] == ["resected", "volume", "kind", "stage"]
    assert run.own["kind"].classes == ("solid", "part-solid", "ground glass")
    for file in ("model_card.md", "evaluation.html"):
        text = (run_dir / file).read_text()
        assert "volume, mm3" in text and "macro AUC" in text
        assert "malignancy" not in text.lower()


def test_predictions_are_calibrated_and_in_units(run_dir, store):
    table = pd.read_csv(run_dir / "predictions.csv")
    np.testing.assert_allclose(
        table[["kind_solid_probability", "kind_part_solid_probability", "kind_ground_glass_probability"]].sum(axis=1),
        1,
        atol=1e-5,
    )
    assert ((table.volume_low <= table.volume) & (table.volume <= table.volume_high)).all() and (
        table.volume >= 0
    ).all()
    assert table.stage.between(1, 3).all()
    own = Run.load(run_dir).calibration.targets
    held_out = store.table[store.table.fold == 1]
    assert own["volume"].counts == {"volume": len(held_out)}
    binary = own["resected"]
    assert binary.counts == {"resected": int(held_out.resected.notna().sum())}
    scores = expit(binary.slope * table.resected_logit + binary.intercept)
    assert (np.sign(scores - 0.5) == np.sign(table.resected_probability - 0.5)).all()


def test_conformal_half_widths_and_classes_hold_the_labels_that_they_were_fitted_on(run_dir, store):
    run = Run.load(run_dir)
    rows = np.flatnonzero(store.table.fold == 1)
    found = run.predict(np.stack([NoduleStore(store.path).hu(row) for row in rows]))
    labels = run.own.values(store.table.iloc[rows])
    inside = (found.volume_low <= labels[:, 1]) & (labels[:, 1] <= found.volume_high)
    possible = found[[f"{output}_possible" for output in run.own["kind"].outputs]].to_numpy()
    assert inside.mean() >= 0.9
    assert possible[np.arange(len(rows)), labels[:, 2].astype(int)].mean() >= 0.9


def test_another_cohort_is_validated_with_nothing_fitted(run_dir, tmp_path):
    before = Run.load(run_dir).calibration
    other = own_store(tmp_path / "other", seed=5, prefix="Q")
    evaluate(run_dir, other.path, external="elsewhere")
    run = Run.load(run_dir)
    found = run.metrics["external"]["elsewhere"]["own_targets"]
    assert run.calibration == before
    assert found["resected"]["figures"]["auc"]["value"] > 0.9 and "slope" in found["resected"]["calibration_drift"]
    drift = found["kind"]["calibration_drift"]
    assert set(drift) == set(run.own["kind"].classes) and all("slope" in one for one in drift.values())
    for figures in (found["kind"]["figures"], run.metrics["test"]["own_targets"]["kind"]["figures"]):
        assert 0 <= figures["ece"]["value"] <= 1 and 0 <= figures["brier"]["value"] <= 2
    assert found["kind"]["nodules"] == 60
    threshold = run.metrics["validation"]["own_targets"]["resected"]["thresholds"]["youden"]
    table = pd.read_csv(run_dir / "external" / "elsewhere" / "predictions.csv").dropna(subset="resected_label")
    sensitivity = (table.resected_probability >= threshold)[table.resected_label == 1].mean()
    points = found["resected"]["operating_points"]
    assert points["youden"]["sensitivity"]["value"] == pytest.approx(sensitivity, abs=1e-6)
    card = (run_dir / "model_card.md").read_text()
    assert "### elsewhere" in card and "| volume, mm3; diameter 15 mm and more |" in card


def test_a_binary_target_has_operating_points_of_the_validation_fold(run_dir, store):
    run = Run.load(run_dir)
    rows = np.flatnonzero(store.table.fold == 1)
    found = predict_rows(run, store, rows).dropna(subset="resected_label")
    expected = choose_thresholds(found.resected_label.to_numpy(), found.resected_probability.to_numpy())
    thresholds = run.metrics["validation"]["own_targets"]["resected"]["thresholds"]
    assert thresholds == pytest.approx(expected, abs=1e-6)
    called = (run.predictions.resected_probability >= thresholds["youden"]).astype(int)
    assert run.predictions.resected_called_youden.tolist() == called.tolist()
    points = run.metrics["test"]["own_targets"]["resected"]["operating_points"]
    positive = run.predictions.resected_label == 1
    assert points["youden"]["sensitivity"]["value"] == pytest.approx(called[positive].mean(), abs=1e-6)
    card, page = ((run_dir / name).read_text() for name in ("model_card.md", "evaluation.html"))
    shown = f"{points['sensitivity_90']['specificity']['value']:.3f}"
    row = next(line for line in card.splitlines() if line.startswith("| resected | at least 90 % sensitivity |"))
    assert shown in row and f"| {thresholds['sensitivity_90']:.3f} |" in row
    assert "<h2>Decisions</h2>" in page and f"{thresholds['sensitivity_90']:.3f}" in page


def test_figures_stand_for_subgroups_too(run_dir):
    table = pd.read_csv(run_dir / "predictions.csv")
    found = Run.load(run_dir).metrics["test"]["own_targets"]
    small = table[table.diameter_mm < 8]
    group = found["volume"]["subgroups"]["diameter"]["under 8 mm"]
    assert group["nodules"] == len(small) > 0
    assert group["figures"]["mae"]["value"] == pytest.approx((small.volume - small.volume_label).abs().mean(), rel=1e-4)
    assert sum(one["nodules"] for one in found["kind"]["subgroups"]["diameter"].values()) == found["kind"]["nodules"]
    assert found["resected"]["subgroups"]["diameter"]["under 8 mm"]["figures"]["auc"]["value"] is None  # of one class
    assert "volume, mm3; diameter under 8 mm" in (run_dir / "evaluation.html").read_text()


def test_all_folds_make_an_ensemble_of_own_targets(tmp_path):
    store = own_store(tmp_path / "store", nodules=40, folds=3)
    short = QUICK | {"optim": OptimConfig(epochs=1, batch_size=16)}
    train(store.path, tmp_path / "all", targets=given(), folds=FoldConfig(test="all"), **short)
    run = Run.load(tmp_path / "all")
    images = torch.randn(2, 3, 16, 16)
    outputs = run.model(images)
    volume = torch.stack([member.to_units(member(own))[:, 1] for member, own in run.model.each(images)]).mean(0)
    torch.testing.assert_close(run.model.to_units(outputs)[:, 1], volume, rtol=1e-4, atol=1e-2)
    assert run.calibration.targets["volume"].counts == {"volume": 40}
    assert run.metrics["test"]["own_targets"]["kind"]["nodules"] == 40
    assert set(run.metrics["validation"]["own_targets"]["resected"]["thresholds"]) == set(POINTS)


def test_a_target_without_labels_is_dropped_by_name_and_never_predicted(store, tmp_path, caplog):
    short = QUICK | {"optim": OptimConfig(epochs=1, batch_size=16)}
    train(store.path, tmp_path / "run", targets=given([{"name": "unknown"}, TABLE[1]]), **short)
    assert "no training nodule has a label of unknown" in caplog.text
    assert Run.load(tmp_path / "run").target_names == ("volume",)


def test_heads_that_learn_from_single_readers_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="leave them out with targets of your own"):
        train(store.path, tmp_path / "run", targets=given(), heads=HeadsConfig(readout="ordinal"), **QUICK)


def test_a_column_that_the_store_lacks_is_named(store, tmp_path):
    with pytest.raises(InputError, match=r"no column volumes.*did you mean volume"):
        train(store.path, tmp_path / "run", targets=given([{"name": "volumes"}]), **QUICK)


def test_a_checkpoint_of_own_targets_loads_as_any_other(tmp_path):
    from ctxai.data.targets import read_targets

    model = NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), targets=read_targets(given()))
    checkpoint = {"state_dict": model.state_dict(), "options": model._options}
    torch.save(checkpoint, tmp_path / "last.ckpt")
    again = NoduleClassifier.load_from_checkpoint(tmp_path / "last.ckpt")
    assert again.own == model.own and again.target_names == model.target_names
