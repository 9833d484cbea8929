"""Pooled figures of maps, on tables whose values are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from lidc2d_maps import shown
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


def test_shares_are_those_of_the_drawn_rows():
    everyone = shown(table(), np.arange(4))
    assert everyone == pytest.approx(
        {"passes_lung": 0.75, "passes_blur": 0.5, "fidelity_lung": 0.5, "fidelity_blur": 0.1, "passes_both": 0.5}
    )
    assert shown(table(), np.array([1, 1, 2, 2]))["passes_lung"] == 0.5
    assert shown(table(), np.array([1, 1, 2, 2]))["passes_both"] == 0


def test_a_moved_mark_counts_in_both_directions():
    moved = table().assign(
        rho_1=[0.9] * 4, rho_2=[0.7] * 4, sign_1=[0.1] * 4, sign_2=[0.0] * 4, peak_mm_1=[1.0] * 4, peak_mm_2=[3.0] * 4
    )
    found = shown(moved.assign(inside=[0.5, 0.7, np.nan, 0.3]), np.arange(4))
    assert found["rho"] == pytest.approx(0.8) and found["sign"] == pytest.approx(0.05)
    assert found["peak_mm"] == 2 and found["inside"] == pytest.approx(0.5)


def test_random_maps_are_those_that_explain_draws_for_a_single_slice():
    images = torch.zeros(1, 1, 64, 64)
    check = MapReliability(nn.Flatten().eval(), images, ViewConfig(views=("axial",)), ["malignancy"])
    assert torch.equal(random_blocks(RANDOM_MAPS, 1, seed=0).flatten(0, 1), check._chance.maps)
