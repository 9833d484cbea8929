import numpy as np
import pandas as pd
import pytest
from predictions_table import predictions
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.predictions.evaluation import baseline_columns, evaluate_predictions, predict_rows

from cohorts import sphere_store
from runs import untrained_run


def test_the_area_is_the_textbook_one_and_lies_in_its_interval():
    table = predictions()
    found = evaluate_predictions(table, resamples=200)["malignancy"]
    assert found["auc"]["value"] == pytest.approx(
        roc_auc_score(table["label_malignancy"], table["malignancy_logit"]), abs=1e-6
    )
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    difference = found["auc"]["value"] - found["diameter_auc"]["value"]
    assert found["auc_minus_diameter"]["value"] == pytest.approx(difference, abs=1e-5)
    assert (found["nodules"], found["malignant"], found["patients"]) == (200, 100, 100)


def test_a_paired_difference_of_equal_scores_has_no_width():
    table = predictions().assign(diameter_mm=lambda t: t["malignancy_logit"])
    assert evaluate_predictions(table, resamples=50)["malignancy"]["auc_minus_diameter"] == {
        "value": 0.0,
        "low": 0.0,
        "high": 0.0,
    }


def test_nodules_without_a_class_count_for_the_biomarkers_only():
    table = predictions()
    table.loc[:99, "label_malignancy"] = np.nan
    found = evaluate_predictions(table, resamples=20)
    assert found["malignancy"]["nodules"] == 100
    assert found["targets"]["margin"]["nodules"] == 200


def test_every_figure_of_malignancy_is_the_textbook_one():
    table = predictions()
    label, probability = table["label_malignancy"], table["malignancy_probability"]
    found = evaluate_predictions(table, resamples=50)["malignancy"]
    assert found["pr_auc"]["value"] == pytest.approx(
        average_precision_score(label, table["malignancy_logit"]), abs=1e-6
    )
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(label, probability), abs=1e-6)
    assert found["accuracy"]["value"] == pytest.approx(((probability > 0.5) == label).mean(), abs=1e-6)
    for name in ("pr_auc", "brier", "accuracy", "ece"):
        assert found[name]["low"] < found[name]["high"]
    assert found["calibration"]["platt"]["brier"] == found["brier"]
    assert found["calibration"]["none"]["brier"]["value"] == pytest.approx(
        brier_score_loss(label, table["probability_none"]), abs=1e-6
    )


def test_every_column_of_scores_is_a_baseline():
    table = predictions().assign(resnet18_score=lambda t: -t["malignancy_logit"])
    assert baseline_columns(table) == {"diameter": "diameter_mm", "resnet18": "resnet18_score"}
    found = evaluate_predictions(table, resamples=20)["malignancy"]
    assert found["resnet18_auc"]["value"] == pytest.approx(1 - found["auc"]["value"], abs=1e-5)
    assert found["auc_minus_resnet18"]["value"] == pytest.approx(2 * found["auc"]["value"] - 1, abs=1e-5)


def test_calls_at_thresholds_are_judged_as_they_were_made():
    table = predictions().assign(called_youden=lambda t: (t["malignancy_logit"] > 0).astype(int))
    found = evaluate_predictions(table, resamples=50)["malignancy"]["operating_points"]["youden"]
    called = table["malignancy_logit"] > 0
    assert found["sensitivity"]["value"] == pytest.approx(called[table["label_malignancy"] == 1].mean())
    assert found["specificity"]["low"] < found["specificity"]["value"] < found["specificity"]["high"]


def test_biomarkers_are_compared_with_the_readers_mean():
    table = predictions()
    table.loc[:49, "texture_low"] = 0.0
    table.loc[:3, "margin_readers"] = np.nan
    found = evaluate_predictions(table, resamples=20)["targets"]
    assert found["texture"]["mae"]["value"] == pytest.approx(1.0)
    assert found["texture"]["macro_mae"]["value"] == pytest.approx(1.0)
    assert found["texture"]["spearman"]["value"] == pytest.approx(1.0)
    assert found["texture"]["within_one"]["value"] > 0.4  # an error of one point, give or take rounding
    assert found["texture"]["coverage"]["value"] == pytest.approx(0.25)
    assert found["sphericity"]["coverage"]["value"] == 0
    assert found["sphericity"]["interval_width"] == pytest.approx(1.0)
    assert found["margin"]["nodules"] == 196 and "readers" not in found["margin"]
    assert "within_one" not in found["diameter"]


def test_single_ratings_bring_the_readers_in():
    table = predictions().assign(margin_ratings="3|4")
    found = evaluate_predictions(table, resamples=20)["targets"]["margin"]["readers"]
    assert found["readings"] == 400 and found["reader"]["mae"]["value"] == 1.0


def test_what_has_no_value_is_none():
    table = predictions().assign(diameter=10.0, diameter_high=np.inf, margin_readers=np.nan)
    found = evaluate_predictions(table, resamples=20)["targets"]
    assert found["diameter"]["spearman"]["value"] is None and found["diameter"]["interval_width"] is None
    assert found["margin"]["nodules"] == 0 and found["margin"]["mae"]["value"] is None


def test_a_run_of_biomarkers_alone_is_judged_on_those():
    table = predictions()[["patient_id", "label_malignancy", "margin", "margin_low", "margin_high", "margin_readers"]]
    found = evaluate_predictions(table, resamples=20)
    assert set(found) == {"targets"} and set(found["targets"]) == {"margin"}


def test_one_class_is_refused():
    with pytest.raises(InputError, match="200 labelled nodules to test on are of one class"):
        evaluate_predictions(predictions().assign(label_malignancy=1.0))


def test_the_figures_follow_from_the_written_table(tmp_path):
    table = predictions().assign(margin_ratings=["4", "3|5"] * 100, manufacturer="", slice_thickness_mm=1.25).round(6)
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert evaluate_predictions(pd.read_csv(tmp_path / "predictions.csv"), resamples=20) == evaluate_predictions(
        table, resamples=20
    )


def test_rows_carry_what_the_store_knows_of_readers_and_scanners(tmp_path):
    store = sphere_store(tmp_path / "store", nodules=6, depth=1)
    store.write_table(store.table.assign(slice_thickness_mm=2.5, manufacturer="Maker"))
    run = untrained_run(views=ViewConfig(views=("axial",), pixels=16))
    found = predict_rows(run, store, np.array([4, 1]))
    assert found["nodule_id"].tolist() == ["N004", "N001"]
    assert found["malignancy_ratings"].tolist() == store.table["malignancy_ratings"][[4, 1]].tolist()
    assert found["slice_thickness_mm"].tolist() == [2.5, 2.5] and set(found["manufacturer"]) == {"Maker"}
    assert found["texture_readers"].tolist() == [5.0, 2.0]
