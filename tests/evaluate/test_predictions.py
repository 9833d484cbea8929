import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from ctxai.data.labels import TARGETS
from ctxai.errors import InputError
from ctxai.evaluate.predictions import area_under_curve, bootstrap_patients, calibration_error, features_scores, judge


def predictions(n=200, seed=0, per_patient=2):
    """A table as predict_rows writes it, with a useful logit and exact biomarkers that are one point too high."""
    generator = np.random.default_rng(seed)
    label = (np.arange(n) % 2).astype(float)
    logit = generator.normal(2 * label - 1, 1.0)
    table = {
        "nodule_id": [f"N{i}" for i in range(n)],
        "patient_id": [f"P{i // per_patient}" for i in range(n)],
        "label_malignancy": label,
        "diameter_mm": generator.normal(10 + 2 * label, 3),
        "malignancy_logit": logit,
        "malignancy_probability": expit(2 * logit),  # exact for these two normal distributions
    }
    for target in TARGETS:
        readers = generator.uniform(1, 4, n)
        table |= {target: readers + 1, f"{target}_low": readers + 0.5, f"{target}_high": readers + 1.5}
        table[f"{target}_readers"] = readers
    return pd.DataFrame(table)


def test_the_area_is_the_textbook_one_and_lies_in_its_interval():
    table = predictions()
    found = judge(table, resamples=200)["malignancy"]
    assert found["auc"]["value"] == pytest.approx(
        roc_auc_score(table["label_malignancy"], table["malignancy_logit"]), abs=1e-6
    )
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    difference = found["auc"]["value"] - found["diameter_auc"]["value"]
    assert found["auc_minus_diameter"]["value"] == pytest.approx(difference, abs=1e-5)
    assert (found["nodules"], found["malignant"], found["patients"]) == (200, 100, 100)


def test_tied_scores_count_half():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.5, 0.5, 0.5, 0.9])
    assert area_under_curve(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_a_paired_difference_of_equal_scores_has_no_width():
    table = predictions().assign(diameter_mm=lambda t: t["malignancy_logit"])
    assert judge(table, resamples=50)["malignancy"]["auc_minus_diameter"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_nodules_without_a_class_count_for_the_biomarkers_only():
    table = predictions()
    table.loc[:99, "label_malignancy"] = np.nan
    found = judge(table, resamples=20)
    assert found["malignancy"]["nodules"] == 100
    assert found["targets"]["margin"]["nodules"] == 200


def test_biomarkers_are_compared_with_the_readers_mean():
    table = predictions()
    table.loc[:49, "texture_low"] = 0.0
    table.loc[:3, "margin_readers"] = np.nan
    found = judge(table, resamples=20)["targets"]
    assert found["texture"]["mae"] == pytest.approx(1.0)
    assert found["texture"]["spearman"] == pytest.approx(1.0)
    assert found["texture"]["coverage"] == pytest.approx(0.25)
    assert found["sphericity"] == {
        "nodules": 200,
        "mae": pytest.approx(1.0),
        "spearman": pytest.approx(1.0),
        "coverage": 0.0,
        "interval_width": pytest.approx(1.0),
    }
    assert found["margin"]["nodules"] == 196


def test_what_has_no_value_is_none():
    table = predictions().assign(diameter=10.0, diameter_high=np.inf)
    found = judge(table, resamples=20)["targets"]["diameter"]
    assert found["spearman"] is None and found["interval_width"] is None


def test_one_class_is_refused():
    with pytest.raises(InputError, match="200 labelled nodules to test on are of one class"):
        judge(predictions().assign(label_malignancy=1.0))


def test_nodules_of_one_patient_are_drawn_together():
    table = predictions(n=240, per_patient=1)
    copies = pd.concat([table] * 4, ignore_index=True)  # four identical nodules per patient add no information

    def width(rows):
        label, score = rows["label_malignancy"].to_numpy(int), rows["malignancy_logit"].to_numpy()
        found = bootstrap_patients(
            lambda chosen: {"auc": roc_auc_score(label[chosen], score[chosen])},
            rows["patient_id"].to_numpy(),
            label,
            resamples=200,
        )["auc"]
        return found["high"] - found["low"]

    assert width(copies) == pytest.approx(width(table), rel=0.01)


def test_the_bootstrap_interval_has_the_width_of_theory():
    generator = np.random.default_rng(0)
    values = generator.normal(0, 1, 400)
    found = bootstrap_patients(
        lambda rows: {"mean": float(values[rows].mean())}, np.arange(400), np.arange(400) % 2, resamples=1000
    )["mean"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / 20, rel=0.1)


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    labels = np.array([1, 0, 0, 0, 1, 1, 1, 1])
    probabilities = np.array([0.15] * 4 + [0.75] * 4)  # observed 0.25 and 1.0
    assert calibration_error(labels, probabilities) == pytest.approx((0.10 + 0.25) / 2)


def test_the_feature_baseline_learns_from_training_rows_alone():
    n = 120
    generator = np.random.default_rng(0)
    label = (np.arange(n) % 2).astype(float)
    table = pd.DataFrame(
        {"nodule_id": np.arange(n), "patient_id": [f"P{i // 2}" for i in range(n)], "label_malignancy": label}
    )
    features = pd.DataFrame({"nodule_id": np.arange(n), "size": label + generator.normal(0, 0.3, n), "noise": 1.0})
    training, chosen = np.arange(80), np.arange(80, n)
    scores = features_scores(features, table, training, chosen)
    assert roc_auc_score(label[chosen], scores) > 0.95
    hidden = table.assign(label_malignancy=np.where(np.arange(n) < 80, label, np.nan))
    np.testing.assert_array_equal(features_scores(features, hidden, training, chosen), scores)
    with pytest.raises(InputError, match="features: 1 nodules of the store are missing, first 7"):
        features_scores(features.drop(index=7), table, training, chosen)
