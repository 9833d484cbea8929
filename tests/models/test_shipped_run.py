"""The run that comes with the package: its folder, and its recorded figures on the nodules it never learnt from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctxai.data.crops import import_crops
from ctxai.evaluate.predictions.evaluation import evaluate_predictions, predict_rows
from ctxai.resources import resource
from ctxai.run.config import RunConfig
from ctxai.run.run import SHIPPED, Run


@pytest.fixture(scope="module")
def shipped():
    return Run.load()


def test_the_shipped_run_is_complete_and_small(shipped):
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < 8e6
    plots = {path.name for path in (SHIPPED / "plots").iterdir()}
    assert plots == {"roc.png", "precision_recall.png", "reliability.png", "biomarkers.png"}
    assert shipped.views.views == ("axial",)
    card = (SHIPPED / "model_card.md").read_text(encoding="utf-8")
    assert "Research use only" in card and "logistic regression on hand-made features" in card


def test_no_picture_of_a_patient_is_shipped():
    files = {path.name for path in SHIPPED.parent.rglob("*")}
    assert not files & {"worst_cases.png", "evaluation.html"}


def test_all_weights_that_come_with_the_package_are_small_together():
    assert sum(path.stat().st_size for path in SHIPPED.parent.rglob("*")) < 12e6


def test_it_starts_from_random_weights_and_so_has_seen_no_test_patient(shipped):
    assert shipped.config.backbone.weights is None and not shipped.config.backbone.pretrained


def test_it_is_the_recipe_of_the_shipped_config(shipped):
    text = resource("configs", "hybrid.yaml").read_text(encoding="utf-8")
    recipe = RunConfig.from_yaml(text)
    views = replace(recipe.views, mean=shipped.views.mean, std=shipped.views.std)
    assert replace(recipe, views=views) == shipped.config


def test_its_folds_share_no_patient(shipped):
    training, validation, test = (set(shipped.provenance["patients"][p]) for p in ("training", "validation", "test"))
    assert len(training) > 300 and not training & validation and not training & test and not validation & test
    assert not any(shipped.in_sample(patient) for patient in test)


def test_its_figures_follow_from_its_predictions(shipped):
    assert evaluate_predictions(shipped.predictions) == shipped.metrics["test"]


@pytest.fixture(scope="module")
def ensemble():
    return Run.open("hybrid_ensemble_lidc2d")


def test_the_ensemble_is_small_and_holds_five_networks_of_the_shipped_recipe(shipped, ensemble):
    assert sum(path.stat().st_size for path in ensemble.folder.rglob("*")) < 8e6
    assert ensemble.provenance["members"] == 5 and ensemble.config.folds.test == "all"
    folds, views = shipped.config.folds, shipped.views
    assert replace(ensemble.config, folds=folds, views=views) == shipped.config
    card = (ensemble.folder / "model_card.md").read_text(encoding="utf-8")
    assert "mean of 5 networks" in card and "no patient of this collection is unseen" in card
    assert "Selected by these nodules" in card


def test_the_figures_of_the_ensemble_are_those_of_every_network_on_its_own_test_fold(shipped, ensemble):
    assert evaluate_predictions(ensemble.predictions) == ensemble.metrics["test"]
    assert set(shipped.predictions["nodule_id"]) < set(ensemble.predictions["nodule_id"])
    assert not ensemble.predictions["nodule_id"].duplicated().any()
    assert all(ensemble.in_sample(patient) for patient in ensemble.predictions["patient_id"])


def test_its_recorded_predictions_come_out_again_on_the_real_nodules(shipped, real_data, tmp_path):
    crops = real_data / "lidc-nodules-2d"
    if not crops.is_dir():
        pytest.skip(f"{crops} is absent")
    store = import_crops(crops, tmp_path / "store")
    ids = store.table["nodule_id"]
    rows = np.flatnonzero(ids.isin(shipped.provenance["nodules"]["test"]))
    again = predict_rows(shipped, store, rows).astype({"nodule_id": int})
    recorded = shipped.predictions[again.columns]
    pd.testing.assert_frame_equal(again, recorded, check_dtype=False, check_exact=False, atol=2e-3, rtol=1e-3)
