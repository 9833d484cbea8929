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


def test_the_mean_over_folds_and_its_difference_are_those_of_the_folds():
    labels = np.arange(40) % 2
    tables = {}
    for name, wrong in (("0", 0), ("1", 20)):
        table = pd.DataFrame({"patient_id": [f"{name}-{row}" for row in range(40)], "label_malignancy": labels})
        tables[name] = table.assign(good=labels, other=np.where(np.arange(40) < wrong, 0, labels))
    found = {(row["figure"], row["fold"]): row for row in figures(tables, ("good", "other"), (("good", "other"),))}
    assert found["good minus other", "0"]["value"] == 0
    assert found["other", "1"]["value"] == pytest.approx(0.75)
    mean = found["good minus other", "mean of 0 1"]
    assert mean["value"] == pytest.approx(0.125) and mean["nodules"] == mean["patients"] == 80
    assert 0 < mean["low"] < 0.125 < mean["high"]
