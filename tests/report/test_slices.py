from __future__ import annotations

import numpy as np
import pytest

from ctxai.report.slices import SliceMarks, fused_slice


def test_without_evidence_a_slice_is_the_ct_in_a_window_that_leaves_a_solid_nodule_grey():
    hu = np.full((80, 90), -600, np.int16)
    hu[10, 20], hu[30, 40] = -2000, 3000
    picture = fused_slice(hu, np.zeros(hu.shape, np.float32))
    assert picture.shape == (80, 90, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[10, 20], 0)
    np.testing.assert_array_equal(picture[30, 40], 255)
    np.testing.assert_array_equal(picture[50, 50], round(600 / 2200 * 255))


def test_evidence_for_is_warm_and_evidence_against_is_blue_where_the_map_has_them():
    hu = np.full((80, 90), -850, np.int16)
    share = np.zeros(hu.shape, np.float32)
    share[5, 6], share[7, 8], share[9, 10] = 1.0, -1.0, 0.04
    picture = fused_slice(hu, share).astype(int)
    assert picture[5, 6, 0] > picture[5, 6, 2] + 50
    assert picture[7, 8, 2] > picture[7, 8, 0] + 50
    np.testing.assert_array_equal(picture[9, 10], picture[0, 0])  # too weak to draw
    coloured = np.argwhere(np.ptp(picture, axis=2) > 0)
    np.testing.assert_array_equal(coloured, [[5, 6], [7, 8]])


def test_directions_image_number_scale_and_words_have_their_places():
    hu = np.full((512, 512), -2000, np.int16)
    marks = SliceMarks("APRL", 43, 0.5, "research use only")
    written = fused_slice(hu, np.zeros(hu.shape, np.float32), marks).max(axis=2) > 0
    for letter in np.s_[:30, 230:280], np.s_[480:, 230:280], np.s_[230:280, :30], np.s_[230:280, 480:]:
        assert written[letter].sum() > 10
        written[letter] = False
    for place in np.s_[:30, :120], np.s_[470:, :160]:  # image number, words
        assert written[place].sum() > 50
        written[place] = False
    bar = np.flatnonzero(written[500:].any(axis=0))
    assert len(bar) == pytest.approx(50 / 0.5, abs=1)
    written[460:, 380:] = False  # the bar and its length
    assert not written.any()
