"""Average precision where it is known, and by its definition."""

import numpy as np
import pytest
import torch
from linear_cases import mask_case, square_mask

from ctxai.evaluate.metrics.localisation.average_precision import AveragePrecision

MASK = square_mask()


def precision(maps, mask=MASK):
    return AveragePrecision().score(mask_case(maps, mask))[0]


def by_definition(values, mask):
    """Sum over thresholds of the recall gained there times the precision there."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        marked = values >= threshold
        hit = (marked & mask).sum()
        total += (hit / mask.sum() - recall) * hit / marked.sum()
        recall = hit / mask.sum()
    return total


def test_known_maps():
    assert precision(MASK.double()) == 1
    assert precision(torch.ones(1, 1, 1)) == pytest.approx(9 / 64)
    assert precision(-MASK.double()) == pytest.approx(9 / 64)  # found last, all at once
    assert np.isnan(precision(torch.ones(1, 1, 1), torch.zeros(1, 8, 8)))


def test_scores_agree_with_the_definition():
    maps = torch.randint(-9, 9, (1, 8, 8), generator=torch.Generator().manual_seed(0)).double()
    assert precision(maps) == pytest.approx(by_definition(maps.numpy().ravel(), MASK.numpy().ravel()))
