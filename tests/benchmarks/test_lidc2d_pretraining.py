"""Shares of labelled patients, and figures of both starts, on tables whose values are known."""

import numpy as np
import pandas as pd
import pytest
from lidc2d_pretraining import figures, left_out


def test_smaller_shares_are_parts_of_larger_ones_and_held_out_folds_stay_whole():
    table = pd.DataFrame({"fold": np.arange(500) % 5, "patient_id": [f"P{row:03d}" for row in range(500)]})
    kept = {share: set(table[~left_out(table, share)].index) for share in (0.1, 0.5, 1.0)}
    assert [len(kept[share]) for share in kept] == [200 + 30, 200 + 150, 500]
    assert kept[0.1] < kept[0.5] < kept[1.0]
    assert set(table.index[table["fold"] < 2]) <= kept[0.1]


def test_the_difference_is_that_of_the_areas():
    labels = np.arange(40) % 2
    table = pd.DataFrame({"patient_id": np.arange(40), "label_malignancy": labels, "pretrained": labels})
    table["random"] = np.where(np.arange(40) < 20, labels, 0)
    found = {row["figure"]: row["value"] for row in figures(table, 0.5)}
    assert found == pytest.approx({"pretrained": 1.0, "random": 0.75, "pretrained minus random": 0.25})
