"""Pooled figures of maps, on tables whose values are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from lidc2d_maps import figures, kept_file, shown
from map_reliability import random_blocks
from torch import nn

from ctxai.data.settings import ViewConfig
from ctxai.evaluate.map_quality import RANDOM_MAPS, MapReliability


def table():
    return pd.DataFrame(
        {
            "passes_lung": [True, True, False, True],
            "passes_blur": [True, False, False, True],
            "fidelity_lung": [1.0, 0.5, 0.0, 0.5],
            "fidelity_blur": [0.2, 0.1, 0.0, 0.1],
        }
    )


def arrays(rows):
    return {name: values.to_numpy() for name, values in rows.items()}


def test_shares_are_those_of_the_drawn_rows():
    columns = arrays(table())
    everyone = shown(columns, np.arange(4))
    assert everyone == pytest.approx(
        {"passes_lung": 0.75, "passes_blur": 0.5, "fidelity_lung": 0.5, "fidelity_blur": 0.1, "passes_both": 0.5}
    )
    assert shown(columns, np.array([1, 1, 2, 2]))["passes_lung"] == 0.5
    assert shown(columns, np.array([1, 1, 2, 2]))["passes_both"] == 0


def test_a_moved_mark_counts_in_both_directions():
    moved = table().assign(
        rho_1=[0.9] * 4, rho_2=[0.7] * 4, sign_1=[0.1] * 4, sign_2=[0.0] * 4, peak_mm_1=[1.0] * 4, peak_mm_2=[3.0] * 4
    )
    inside = {"inside": [0.5, 0.7, np.nan, 0.3], "malignancy_probability": [0.9, 0.2, 0.9, 0.7]}
    found = shown(arrays(moved.assign(**inside)), np.arange(4))
    assert found["rho"] == pytest.approx(0.8) and found["sign"] == pytest.approx(0.05)
    assert found["peak_mm"] == 2 and found["inside"] == pytest.approx(0.5)
    assert found["inside_malignant"] == pytest.approx(0.4) and found["inside_benign"] == pytest.approx(0.7)


def test_a_share_of_one_has_an_interval(tmp_path):
    nodules = {"nodule_id": range(40), "patient_id": [f"P{k}" for k in range(40)]}
    rows = pd.concat([table()] * 10, ignore_index=True).assign(**nodules, passes_blur=True, fold=0)
    file = kept_file(tmp_path, ("random_blocks", "malignancy"), 0, 0)
    file.parent.mkdir(parents=True)
    rows.to_csv(file, index=False)
    predicted = pd.DataFrame({"nodule_id": range(40), "malignancy_probability": 0.5})
    found = {row["figure"]: row for row in figures(tmp_path, predicted)}
    assert found["passes_blur"]["low"] == pytest.approx(0.025 ** (1 / 40)) and found["passes_blur"]["high"] == 1
    assert found["passes_lung"]["low"] < 0.75 < found["passes_lung"]["high"] < 1
    assert found["passes_lung"]["nodules"] == 40


def test_random_maps_are_those_that_explain_draws_for_a_single_slice():
    images = torch.zeros(1, 1, 64, 64)
    check = MapReliability(nn.Flatten().eval(), images, ViewConfig(views=("axial",)), ["malignancy"])
    assert torch.equal(random_blocks(RANDOM_MAPS, 1, seed=0).flatten(0, 1), check._random.maps)
