import numpy as np
import pandas as pd
import pytest
from predictions_table import predictions
from sklearn.metrics import roc_auc_score

from ctxai.evaluate.predictions.bootstrap import bootstrap_patients


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


def test_the_interval_has_the_width_of_theory():
    values = np.random.default_rng(0).normal(0, 1, 400)
    found = bootstrap_patients(lambda rows: {"mean": float(values[rows].mean())}, np.arange(400))["mean"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / 20, rel=0.1)
    assert found["value"] == pytest.approx(values.mean())
    assert found["low"] < found["value"] < found["high"]


def test_draws_of_one_class_are_drawn_again_when_classes_are_given():
    patients, labels = np.arange(3), np.array([0, 0, 1])
    classes = []

    def record(rows):
        classes.append(len(set(labels[rows])))
        return {"n": 1.0}

    bootstrap_patients(record, patients, labels, resamples=100)
    assert set(classes) == {2} and len(classes) == 101
    bootstrap_patients(record, patients, resamples=100)
    assert set(classes) == {1, 2}


def test_what_has_no_value_is_none_and_draws_without_one_are_left_out():
    values = np.array([1.0, np.nan, 3.0])

    def mean(rows):
        known = values[rows][~np.isnan(values[rows])]
        return {"mean": float(known.mean()) if len(known) else float("nan"), "never": float("nan")}

    found = bootstrap_patients(mean, np.arange(3), resamples=50)
    assert found["never"] == {"value": None, "low": None, "high": None}
    assert found["mean"]["value"] == 2.0 and 1.0 <= found["mean"]["low"] <= found["mean"]["high"] <= 3.0


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=40)

    def of(seed):
        return bootstrap_patients(
            lambda rows: {"m": float(values[rows].mean())}, np.arange(40), seed=seed, resamples=50
        )

    assert of(1) == of(1) != of(2)
