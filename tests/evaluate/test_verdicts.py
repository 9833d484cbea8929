import numpy as np
import pandas as pd
import pytest

from ctxai.evaluate.verdicts import agreement


def reviews(rows):
    columns = ["time", "reader", "patient", "nodule_id", "map_shown", "verdict", "rating", "malignancy"]
    return pd.DataFrame(rows, columns=columns).assign(series_uid="1.2")


def test_the_last_verdict_of_each_kind_counts_and_differences_are_paired():
    found = agreement(
        reviews(
            [
                ("3", "a", "p", "1", True, "agree", 4.0, 4.5),
                ("1", "a", "p", "1", False, "agree", 1.0, 4.5),
                ("2", "a", "p", "1", False, "disagree", 2.0, 4.5),  # instead of the one before
                ("4", "a", "q", "2", True, "map misleading", np.nan, 2.0),
                ("5", "b", "q", "2", False, "agree", np.nan, 2.0),  # another reader: no pair
                ("6", "b", "q", "3", False, np.nan, 3.0, 2.0),  # a rating alone
            ]
        )
    )
    assert {name: (each["n"], each["value"]) for name, each in found.items()} == {
        "agreement, without map": (2, 0.5),
        "agreement, with map": (2, 0.5),
        "agreement, with minus without": (1, 1.0),
        "difference of ratings, without map": (2, 1.75),
        "difference of ratings, with map": (1, 0.5),
        "difference of ratings, with minus without": (1, -2.0),
        "maps called misleading": (2, 0.5),
    }
    assert found["agreement, with minus without"]["low"] is None  # of one patient


def test_numbers_of_further_targets_are_compared_where_both_are_known():
    rows = [(f"{n}", "a", "p", f"{n}", n > 1, "agree", np.nan, 3.0) for n in range(4)]
    table = reviews(rows).assign(
        reader_volume=[10.0, np.nan, 14.0, 12.0], model_volume=[12.0, 3.0, 13.0, 9.0], reader_sort="solid"
    )
    found = agreement(table)
    assert (found["difference of volume, without map"]["n"], found["difference of volume, without map"]["value"]) == (
        1,
        2,
    )
    assert (found["difference of volume, with map"]["n"], found["difference of volume, with map"]["value"]) == (2, 2)
    assert not any("sort" in name for name in found)


def test_intervals_are_over_patients_whatever_the_number_of_their_nodules():
    generator = np.random.default_rng(0)
    rows = [
        (f"{patient}-{nodule}", "a", f"p{patient}", f"{nodule}", True, verdict, np.nan, 3.0)
        for patient, verdict in enumerate(generator.choice(["agree", "disagree"], 40))
        for nodule in range(25)
    ]
    shown = agreement(reviews(rows).assign(series_uid=lambda table: table["patient"]))["agreement, with map"]
    error = np.sqrt(shown["value"] * (1 - shown["value"]) / 40)  # of 40 independent patients
    assert shown["high"] - shown["low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
