"""Pixel accuracy, IoU and Dice where they are known."""

import numpy as np
import pytest
import torch
from linear_cases import mask_case, square_mask

from ctxai.errors import InputError
from ctxai.evaluate.metrics.localisation.mask_overlap import (
    Dice,
    IoU,
    MaskPrecision,
    MaskRecall,
    PixelAccuracy,
    bounding_boxes,
)

MASK = square_mask()  # 9 of 64 pixels
METRICS = [PixelAccuracy, IoU, Dice]


def figures(maps, mask=MASK, **options):
    return [metric(**options).score(mask_case(maps, mask))[0] for metric in METRICS]


def test_a_map_equal_to_the_mask_is_right_everywhere_and_its_reverse_nowhere():
    for boxes in (False, True):
        assert figures(3 * MASK.double() - 1, boxes=boxes) == [1, 1, 1]
    assert figures(-MASK.double()) == [0, 0, 0]


def test_a_constant_map_marks_nothing():
    assert figures(torch.ones(1, 2, 2)) == [55 / 64, 0, 0]


def test_half_of_the_mask():
    maps = torch.zeros(1, 8, 8)
    maps[0, 2:5, 2] = 1  # 3 of 9
    maps[0, 0, 0] = 0.6  # and one outside
    maps[0, 7, 7] = 0.5  # the threshold itself does not count
    assert figures(maps) == pytest.approx([(3 + 54) / 64, 3 / 10, 6 / 13])
    assert figures(maps, threshold=0.7) == pytest.approx([58 / 64, 3 / 9, 6 / 12])


def test_boxes_fill_every_connected_part_by_itself():
    marked = torch.zeros(1, 8, 8, dtype=torch.bool)
    marked[0, 0, 0] = marked[0, 1, 1] = True  # diagonal neighbours are one part
    marked[0, 4, 4] = marked[0, 5, 4] = marked[0, 5, 6] = marked[0, 5, 5] = True
    boxes = torch.zeros(1, 8, 8, dtype=torch.bool)
    boxes[0, :2, :2] = boxes[0, 4:6, 4:7] = True
    assert bounding_boxes(marked).equal(boxes)
    assert figures(marked.double(), boxes, boxes=True) == [1, 1, 1]
    assert figures(marked.double(), boxes)[1] == pytest.approx(6 / 10)


def test_without_a_mask_there_is_no_score():
    assert np.isnan(figures(torch.eye(8)[None], torch.zeros(1, 8, 8))).all()


def test_a_threshold_that_nothing_exceeds_is_refused():
    with pytest.raises(InputError, match="threshold"):
        IoU(threshold=1.0)


def test_precision_and_recall_of_half_of_the_mask():
    maps = torch.zeros(1, 8, 8)
    maps[0, 2:5, 2] = 1  # 3 of 9
    maps[0, 0, 0] = 0.6  # and one outside
    assert MaskPrecision().score(mask_case(maps, MASK))[0] == pytest.approx(3 / 4)
    assert MaskRecall().score(mask_case(maps, MASK))[0] == pytest.approx(3 / 9)
    assert MaskPrecision().score(mask_case(torch.ones(1, 2, 2), MASK))[0] == 0


def test_the_published_boxes_of_a_map_end_one_pixel_further():
    # OpenCV's (x, y, width, height) of a part, filled from x to x + width with both ends
    maps = torch.zeros(1, 8, 8)
    maps[0, 1:3, 2:6] = 1
    maps[0, 5:8, 6:8] = 1
    expected = torch.zeros(1, 8, 8, dtype=torch.bool)
    for x, y, width, height in ((2, 1, 4, 2), (6, 5, 2, 3)):
        expected[0, y : y + height + 1, x : x + width + 1] = True
    metric = IoU(**IoU.published)
    assert metric.found(mask_case(maps, MASK)).equal(expected)
    truth = maps.bool()
    assert metric.score(mask_case(maps, truth))[0] == pytest.approx(float(truth.sum() / expected.sum()))
