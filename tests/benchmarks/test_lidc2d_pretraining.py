"""Shares of labelled patients, and figures of both starts, on tables whose values are known."""

import numpy as np
import pandas as pd
import pytest
from lidc2d_pretraining import auc_figures, both_starts, left_out, map_figures


def test_smaller_shares_are_parts_of_larger_ones_and_held_out_folds_stay_whole():
    table = pd.DataFrame({"fold": np.arange(500) % 5, "patient_id": [f"P{row:03d}" for row in range(500)]})
    kept = {share: set(table[~left_out(table, share)].index) for share in (0.1, 0.5, 1.0)}
    assert [len(kept[share]) for share in kept] == [200 + 30, 200 + 150, 500]
    assert kept[0.1] < kept[0.5] < kept[1.0]
    assert set(table.index[table["fold"] < 2]) <= kept[0.1]


def test_the_difference_of_the_areas_is_paired_by_nodule():
    labels = np.arange(40) % 2
    logits = {"pretrained": labels, "random": np.where(np.arange(40) < 20, labels, 0)}

    def measure(start):
        table = pd.DataFrame({"nodule_id": range(40), "patient_id": range(40), "label_malignancy": labels})
        return table.assign(malignancy_logit=logits[start]).sample(frac=1, random_state=len(start))

    found = {row["figure"]: row["value"] for row in auc_figures(both_starts(measure), 0.5)}
    assert found == pytest.approx({"pretrained": 1.0, "random": 0.75, "pretrained minus random": 0.25})


def test_the_difference_of_the_maps_is_paired_by_patient():
    spread = np.random.default_rng(0).normal(size=60)

    def measure(start):
        higher = 0.1 if start == "pretrained" else 0.0
        figures = {"fidelity_lung": spread + higher, "fidelity_blur": spread}
        passes = {"passes_lung": spread + higher > 0, "passes_blur": spread > 0}
        return pd.DataFrame({"nodule_id": range(60), "patient_id": np.arange(60) // 2} | figures | passes)

    rows = map_figures(both_starts(measure))
    found = {row["measure"]: row for row in rows if row["figure"] == "pretrained minus random"}
    lung = found["fidelity_lung"]
    assert (lung["low"], lung["value"], lung["high"]) == pytest.approx((0.1, 0.1, 0.1))
    assert found["fidelity_blur"]["value"] == found["passes_blur"]["value"] == 0
    assert {(row["nodules"], row["patients"]) for row in rows} == {(60, 30)}
