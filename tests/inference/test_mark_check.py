from dataclasses import replace

import numpy as np
import pytest
import torch

import ctxai
from ctxai.data.settings import ViewConfig
from ctxai.inference.mark_check import check_mark, check_outlines
from ctxai.models.heads import HeadsConfig
from ctxai.report.trust import Level, warnings_of

from runs import untrained_run

VESSEL, HEART, BONE, LUNG = (-30.3, 40.6, -202.5), (21.0, -49.4, -225.0), (49.9, -5.8, -172.5), (-31.7, 61.0, -202.5)


def reasons(lidc_0001, points):
    rows = ctxai.predict(lidc_0001, points).to_dict("records")
    return [[one for one in warnings_of(row) if one.level == Level.NUMBER] for row in rows]


def test_a_real_nodule_is_not_warned_of_and_other_tissue_is(lidc_0001):
    """The places are in a vessel, the heart, a rib and aerated lung of LIDC-IDRI-0001."""
    nodule, aside, *others = reasons(
        lidc_0001,
        [(56.9, 84.9, -116.3), (59.9, 84.9, -116.3), VESSEL, HEART, BONE, LUNG],
    )
    assert nodule == aside == []
    assert all(others)


@pytest.fixture
def run():
    return untrained_run(views=ViewConfig(views=("axial",), pixels=16), heads=HeadsConfig(outline=1.0))


def test_a_mark_farther_aside_than_a_run_makes_up_for_is_warned_of(lidc_0001):
    """To left and posterior of the middle of LIDC-IDRI-0001's nodule of 33 mm; the run moves its images by 8 mm."""
    middle, aside = np.array([56.9, 84.9, -116.3]), np.array([0.6, 0.8, 0.0])
    near, far = reasons(lidc_0001, [tuple(middle + distance * aside) for distance in (5.0, 14.0)])
    assert near == []
    assert any("Mark the middle of the nodule again" in one.text for one in far)


@pytest.mark.parametrize(("row", "column", "name"), [(2, 1, "nodule_at_mark"), (0, 3, "outline_at_border")])
def test_the_outline_is_looked_at_near_the_mark_and_on_the_border(run, monkeypatch, row, column, name):
    outline = torch.zeros(1, 1, 16, 16)  # pixels of 2 mm
    outline[..., 4 * row, 4 * column] = 0.9
    outline[..., 8, 8] += 0.2
    monkeypatch.setattr(run, "outlines", lambda hu: outline)
    patch = np.full((64, 64, 64), -850, np.int16)
    found = check_mark(run, patch, patch, None)
    expected = {"nodule_at_mark": 0.2, "outline_at_border": 0.0} | ({name: 0.9} if name == "outline_at_border" else {})
    assert {key: pytest.approx(value) for key, value in expected.items()}.items() <= found.items()


def test_the_distance_that_is_left_to_the_outline_s_middle_is_told_of_runs_that_move_their_images():
    views = ViewConfig(views=("axial", "coronal"), pixels=16, recentre_mm=8.0)
    outlines = np.zeros((2, 16, 16))  # pixels of 2 mm
    outlines[:, 7:9, 9:11] = 0.9
    found = check_outlines(views, outlines, outlines)
    assert found["outline_off_centre_mm"] == pytest.approx(4)  # left, which both views see
    assert "outline_off_centre_mm" not in check_outlines(replace(views, recentre_mm=0.0), outlines, outlines)


def test_a_run_without_outlines_tells_the_roundness_alone():
    patch = np.full((64, 64, 64), -850, np.int16)
    assert list(check_mark(untrained_run(), patch, patch, 8.0)) == ["roundness"]
