import numpy as np
import pandas as pd
import pytest

from ctxai.evaluate.predictions.inter_reader import beside_readers, left_out_readings


def table(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"patient_id": [f"P{i}" for i in range(n)]} | columns)


def test_each_reader_is_compared_with_the_mean_of_the_others():
    found = left_out_readings(table(malignancy_ratings=["5|4|2"], malignancy=[3.5]), "malignancy")
    assert found["reader"].tolist() == [5, 4, 2]
    assert found["others"].tolist() == [3, 3.5, 4.5]
    np.testing.assert_array_equal(found["label"], [np.nan, 1, 1])
    assert found["predicted"].tolist() == [3.5] * 3


def test_single_readers_missing_ratings_and_ratings_off_the_scale_are_left_out():
    rows = table(margin_ratings=["4", None, "", "0|3|5", "2|0"], margin=[1.0] * 5)
    found = left_out_readings(rows, "margin")
    assert found["patient_id"].tolist() == ["P3", "P3"]
    assert found["reader"].tolist() == [3, 5] and found["others"].tolist() == [5, 3]
    assert beside_readers(rows.iloc[:3], "margin") is None
    assert beside_readers(rows.drop(columns="margin_ratings"), "margin") is None


def test_figures_of_the_reader_and_of_the_run_on_the_same_references():
    rows = table(texture_ratings=["5|3", "1|1", "4|5"], texture=[4.0, 1.0, 4.0])
    found = beside_readers(rows, "texture", resamples=20)
    assert found["readings"] == 6
    assert found["reader"]["mae"]["value"] == pytest.approx((2 + 2 + 0 + 0 + 1 + 1) / 6)
    assert found["run"]["mae"]["value"] == pytest.approx((1 + 1 + 0 + 0 + 1 + 0) / 6)
    assert found["difference"]["mae"]["value"] == pytest.approx(-3 / 6)
    assert found["reader"]["within_one"]["value"] == pytest.approx(4 / 6)
    assert found["run"]["within_one"]["value"] == 1.0
    assert "auc" not in found["run"]


def test_a_reader_has_an_area_under_the_curve_where_the_others_decide_the_class():
    rows = table(malignancy_ratings=["5|5|4", "1|2|1", "2|4|4", "3|3|3"], malignancy=[5.0, 1.0, 4.0, 3.0])
    found = beside_readers(rows, "malignancy", resamples=20)
    # classes by the others: 5,5,4 → 1; 1,2,1 → 0; 2 → 1 (4,4), the 4s have others 2 and 4: undecided; 3s undecided
    assert found["run"]["auc"]["value"] == 1.0
    assert found["reader"]["auc"]["value"] == pytest.approx((3 * 3 + 2 + 0.5) / 12)


def test_a_run_as_good_as_a_reader_differs_by_nothing():
    generator = np.random.default_rng(0)
    truth = generator.uniform(1.5, 4.5, 300)
    draws = np.clip(np.round(truth[:, None] + generator.normal(0, 0.7, (300, 4))), 1, 5).astype(int)
    rows = table(margin_ratings=["|".join(map(str, r[:3])) for r in draws], margin=draws[:, 3].astype(float))
    difference = beside_readers(rows, "margin", resamples=200)["difference"]["mae"]
    assert difference["low"] < 0 < difference["high"]


def test_millimetres_have_no_share_within_a_point():
    rows = table(diameter_ratings=["10.5|12", "8|9"], diameter=[11.0, 8.0])
    found = beside_readers(rows, "diameter", resamples=5)
    assert set(found["run"]) == {"mae", "spearman"}
