"""Patients of the phantom, and figures over folds, on tables whose values are known."""

import numpy as np
import pandas as pd
import pytest
from lidc2d_phantom import PATIENTS, drawn_patients, figures

from ctxai.lidc.database import LidcDatabase


def test_no_patient_is_drawn_who_tests_or_calibrates():
    database = LidcDatabase()
    real = sorted({scan.patient_id for scan in database.scans})[:700]
    table = pd.DataFrame({"patient_id": real, "fold": np.arange(700) % 5})
    drawn = drawn_patients(database, table, (3, 4))
    assert len(drawn) == len(set(drawn)) == PATIENTS
    assert set(table.loc[table["patient_id"].isin(drawn), "fold"]) == {1, 2}
    assert set(drawn) - set(real)


def test_the_mean_of_differences_is_of_the_folds_that_have_both_scores():
    labels = np.arange(40) % 2
    tables = {}
    for fold, wrong in (("0", 0), ("1", 20), ("2", 40)):
        table = pd.DataFrame({"patient_id": [f"{fold}-{row}" for row in range(40)], "label_malignancy": labels})
        tables[fold] = table.assign(good=labels, other=np.where(np.arange(40) < wrong, 0, labels))
    tables["2"] = tables["2"].drop(columns="good")
    rows = figures(tables, [("other", ""), ("good", "other")])
    found = {(row["score"], row["minus"], row["fold"]): row for row in rows}
    assert found["good", "other", "0"]["auc"] == 0
    assert found["other", "", "1"]["auc"] == pytest.approx(0.75)
    assert found["other", "", "mean of 0 1 2"]["auc"] == pytest.approx(0.75)
    mean = found["good", "other", "mean of 0 1"]
    assert mean["auc"] == pytest.approx(0.125) and mean["nodules"] == mean["patients"] == 80
    assert 0 < mean["low"] < 0.125 < mean["high"]
    assert ("good", "other", "2") not in found
