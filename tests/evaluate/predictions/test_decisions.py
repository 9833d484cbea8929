import numpy as np
import pandas as pd
import pytest

from ctxai.data.targets import Target, TargetTable
from ctxai.errors import InputError
from ctxai.evaluate.predictions.decisions import add_calls, choose_all, decisions
from ctxai.evaluate.predictions.operating_points import choose_thresholds
from ctxai.evaluate.predictions.own_targets import evaluate_own

OWN = TargetTable((Target("resected", "binary"), Target("volume"), Target("relapse", "binary")))


def table(rows=60, seed=0):
    """Predictions of two binary targets; every relapse is unknown or absent."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows).astype(float)
    logits = generator.normal(size=rows) + 2 * labels
    found = {
        "patient_id": [f"p{row // 2}" for row in range(rows)],
        "volume": 1.0,
        "volume_low": 0.0,
        "volume_high": 2.0,
    }
    found |= {"volume_label": 1.0, "relapse_label": np.where(np.arange(rows) < 9, np.nan, 0.0)}
    found |= {"resected_label": np.where(np.arange(rows) < 5, np.nan, labels)}
    for name in ("resected", "relapse"):
        found |= {f"{name}_logit": logits, f"{name}_probability": (1 / (1 + np.exp(-logits))).round(6)}
    return pd.DataFrame(found)


def test_binary_targets_alone_are_decided(caplog):
    validation = table(seed=1)
    decided = decisions(validation, OWN)
    assert [one.target for one in decided] == ["resected", "relapse"]
    chosen = choose_all(validation, decided)
    known = validation.dropna(subset="resected_label")
    expected = choose_thresholds(known["resected_label"].to_numpy(), known["resected_probability"].to_numpy())
    assert chosen == {"thresholds": {}, "own_targets": {"resected": {"thresholds": pytest.approx(expected)}}}
    assert "relapse: no operating points, its 51 validation nodules are of one class" in caplog.text


def test_rates_of_a_target_are_those_of_a_count_of_its_calls():
    validation, test = table(seed=1), table(seed=2)
    decided = decisions(test, OWN)
    chosen = choose_all(validation, decided)
    add_calls(test, chosen, decided)
    assert "relapse_called_youden" not in test
    found = evaluate_own(test, OWN, seed=0, resamples=50)
    assert "operating_points" not in found["relapse"] and "operating_points" not in found["volume"]
    threshold = chosen["own_targets"]["resected"]["thresholds"]["sensitivity_90"]
    known = test.dropna(subset="resected_label")
    positive, called = known["resected_label"] == 1, known["resected_probability"] >= threshold
    rates = found["resected"]["operating_points"]["sensitivity_90"]
    assert rates["sensitivity"]["value"] == pytest.approx((positive & called).sum() / positive.sum())
    assert rates["specificity"]["value"] == pytest.approx((~positive & ~called).sum() / (~positive).sum())
    assert rates["ppv"]["value"] == pytest.approx((positive & called).sum() / called.sum())
    assert rates["npv"]["value"] == pytest.approx((~positive & ~called).sum() / (~called).sum())
    assert rates["specificity"]["low"] < rates["specificity"]["value"] < rates["specificity"]["high"]


def test_malignancy_of_one_class_is_refused_and_a_run_without_it_decides_nothing():
    validation = pd.DataFrame({"label_malignancy": [1.0, 1.0, np.nan], "malignancy_probability": [0.2, 0.8, 0.5]})
    with pytest.raises(InputError, match="2 nodules to choose a threshold on are of one class"):
        choose_all(validation, decisions(validation, None))
    without = validation.drop(columns="malignancy_probability")
    assert choose_all(without, decisions(without, None)) == {"thresholds": {}}
