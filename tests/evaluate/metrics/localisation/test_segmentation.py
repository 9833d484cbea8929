"""Chefer's segmentation protocol where it is known, and pixel by pixel."""

import numpy as np
import pytest
import torch
from linear_cases import mask_case, square_mask
from sklearn.metrics import average_precision_score, jaccard_score

from ctxai.evaluate.metrics.localisation.segmentation import (
    SegmentationMAP,
    SegmentationMIoU,
    SegmentationPixelAccuracy,
)

MASK = square_mask()
GENERATOR = torch.Generator().manual_seed(0)
MAPS = torch.randn(4, 8, 8, generator=GENERATOR, dtype=torch.float64)
MASKS = torch.rand(4, 8, 8, generator=GENERATOR) < torch.tensor([0.1, 0.3, 0.5, 0.7])[:, None, None]


def scores(maps, mask=MASK):
    batch = mask_case(maps, mask)
    return [metric().score(batch)[0] for metric in (SegmentationPixelAccuracy, SegmentationMIoU, SegmentationMAP)]


def test_known_maps():
    assert scores(MASK.double()) == [1, 1, 1]
    assert scores(-MASK.double())[:2] == [0, 0]
    accuracy, miou, ap = scores(torch.ones(1, 1, 1))  # nothing is foreground; 1 - map is 1 everywhere, map is 0
    assert (accuracy, miou) == (55 / 64, 55 / 64 / 2)
    assert ap == pytest.approx(average_precision_score([1] * 55 + [0] * 9 + [0] * 55 + [1] * 9, [1] * 64 + [0] * 64))
    assert np.isnan(scores(torch.ones(1, 1, 1), torch.zeros(1, 8, 8))).all()


def test_the_foreground_lies_above_the_maps_mean():
    maps = torch.tensor([[[0.0, 1.0], [2.0, 9.0]]])  # the mean is 3
    assert scores(maps, [[[0, 0], [0, 1]]])[:2] == [1, 1]


def test_miou_adds_up_areas_over_the_data_set_first():
    batch = mask_case(MAPS, MASKS)
    metric = SegmentationMIoU()
    found = (MAPS.mean(dim=(1, 2), keepdim=True) < MAPS).flatten().numpy()
    truth = MASKS.flatten().numpy()
    expected = np.mean([jaccard_score(truth, found), jaccard_score(~truth, ~found)])
    assert metric.summary(metric.parts(batch)) == pytest.approx(expected)
    assert metric.summary(metric.parts(batch)) != pytest.approx(metric.score(batch).mean())


def test_pixel_accuracy_of_a_set_is_its_share_of_right_pixels():
    metric = SegmentationPixelAccuracy()
    found = MAPS.mean(dim=(1, 2), keepdim=True) < MAPS
    assert metric.summary(metric.parts(mask_case(MAPS, MASKS))) == pytest.approx(
        float((found == MASKS).double().mean())
    )


def test_both_classes_share_one_precision_recall_curve():
    score = SegmentationMAP().score(mask_case(MAPS, MASKS))
    for place in range(4):
        values = (MAPS[place] - MAPS[place].min()) / (MAPS[place].max() - MAPS[place].min())
        labels = torch.stack([~MASKS[place], MASKS[place]]).flatten()
        expected = average_precision_score(labels, torch.stack([1 - values, values]).flatten())
        assert score[place] == pytest.approx(expected)
