import numpy as np
import pytest
from predictions_table import predictions
from sklearn.metrics import roc_auc_score

from ctxai.evaluate.predictions.subgroups import by_subgroup, subgroup_names


def test_attributes_that_are_not_known_are_left_out():
    assert set(subgroup_names(predictions())) == {"diameter", "texture"}
    table = predictions().assign(slice_thickness_mm=np.nan, manufacturer="")
    assert set(subgroup_names(table)) == {"diameter", "texture"}
    table = predictions().assign(slice_thickness_mm=1.25, manufacturer="Maker A")
    names = subgroup_names(table)
    assert set(names["slice thickness"]) == {"under 1.5 mm"} and set(names["manufacturer"]) == {"Maker A"}


def test_groups_end_where_they_say():
    table = predictions(n=8).assign(
        diameter_mm=[3, 7.9, 8, 14.9, 15, 40, np.nan, 8],
        texture_readers=[1, 3, 3.9, 4, 5, np.nan, 4.5, 2],
        slice_thickness_mm=[0.6, 1.25, 1.5, 2, 2.5, 3, 5, np.nan],
    )
    names = {
        attribute: column.astype(object).where(column.notna(), None)
        for attribute, column in subgroup_names(table).items()
    }
    small, middle, large = "under 8 mm", "8 to 15 mm", "15 mm and more"
    assert names["diameter"].tolist() == [small, small, middle, middle, large, large, None, middle]
    other = "part-solid or non-solid"
    assert names["texture"].tolist() == [other, other, other, "solid", "solid", None, "solid", other]
    thin, usual, thick = "under 1.5 mm", "1.5 to 2.5 mm", "3 mm and more"
    assert names["slice thickness"].tolist() == [thin, thin, usual, usual, usual, thick, thick, None]


def test_a_subgroup_is_judged_on_its_own_nodules():
    table = predictions().assign(manufacturer=np.where(np.arange(200) < 80, "A", "B"))
    found = by_subgroup(table, resamples=50)["manufacturer"]
    part = table[:80]
    assert (found["A"]["nodules"], found["A"]["malignant"], found["A"]["patients"]) == (80, 40, 40)
    assert found["A"]["auc"]["value"] == pytest.approx(
        roc_auc_score(part["label_malignancy"], part["malignancy_logit"])
    )
    assert found["A"]["auc"]["low"] < found["A"]["auc"]["value"] < found["A"]["auc"]["high"]
    assert found["A"]["mae"]["value"] == pytest.approx(1.0)


def test_a_subgroup_of_few_of_a_class_has_no_area_and_an_undecided_one_its_error_alone():
    table = predictions().assign(manufacturer=["few"] * 9 + ["many"] * 187 + ["undecided"] * 4)
    table.loc[196:, "label_malignancy"] = np.nan
    found = by_subgroup(table, resamples=20)["manufacturer"]
    assert found["few"]["auc"] is None and found["few"]["brier"]["value"] < 0.5
    assert found["many"]["auc"] is not None
    assert found["undecided"]["nodules"] == 0 and found["undecided"]["brier"] is None
    assert found["undecided"]["mae"]["value"] == pytest.approx(1.0)
