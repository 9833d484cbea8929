from __future__ import annotations

import numpy as np

from ctxai.report.slices import fused_slice


def test_without_evidence_a_slice_is_the_ct_in_the_lung_window():
    hu = np.full((80, 90), -600, np.int16)
    hu[10, 20], hu[30, 40] = -2000, 3000
    picture = fused_slice(hu, np.zeros(hu.shape, np.float32), "")
    assert picture.shape == (80, 90, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[10, 20], 0)
    np.testing.assert_array_equal(picture[30, 40], 255)
    np.testing.assert_array_equal(picture[50, 50], round(750 / 1500 * 255))


def test_evidence_for_is_warm_and_evidence_against_is_blue_where_the_map_has_them():
    hu = np.full((80, 90), -850, np.int16)
    share = np.zeros(hu.shape, np.float32)
    share[5, 6], share[7, 8], share[9, 10] = 1.0, -1.0, 0.04
    picture = fused_slice(hu, share, "").astype(int)
    assert picture[5, 6, 0] > picture[5, 6, 2] + 50
    assert picture[7, 8, 2] > picture[7, 8, 0] + 50
    np.testing.assert_array_equal(picture[9, 10], picture[0, 0])  # too weak to draw
    coloured = np.argwhere(np.ptp(picture, axis=2) > 0)
    np.testing.assert_array_equal(coloured, [[5, 6], [7, 8]])


def test_the_words_stand_in_the_lower_left_corner():
    hu = np.full((128, 128), -1350, np.int16)
    written = np.argwhere(fused_slice(hu, np.zeros(hu.shape, np.float32), "research use only").any(axis=2))
    assert len(written) > 20
    assert written[:, 0].min() > 100
    assert written[:, 1].max() < 100
