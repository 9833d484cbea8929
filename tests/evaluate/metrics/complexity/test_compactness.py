"""Compactness on maps whose empty part is known."""

import numpy as np
import pytest
import torch

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.complexity.compactness import Compactness


def compactness(values, **options):
    maps = torch.tensor(values, dtype=torch.float64).reshape(1, 2, -1)
    return Compactness(**options).score(ExplanationBatch(torch.zeros(1, 1, 4, 4), maps))[0]


def test_one_patch_of_eight_leaves_seven_empty():
    assert compactness([0, 0, 0, 5, 0, 0, 0, 0]) == 7 / 8


def test_a_constant_map_is_not_compact_and_an_empty_one_has_no_score():
    assert compactness([2.0] * 8) == 0
    assert compactness([-2.0] * 8) == 0
    assert np.isnan(compactness([0.0] * 8))


def test_the_threshold_itself_counts_as_empty_and_signs_do_not_matter():
    values = [100, 5, -5, 6, -6, 0, -80, 1]
    assert compactness(values) == compactness([-value for value in values]) == 4 / 8


def test_the_first_version_compares_strictly_with_the_signed_maximum():
    assert compactness([100, 5, 4, 6, 0, 0, 0, 0], signed_maximum=True) == 5 / 8
    assert compactness([-1000, 10, 4, 0, 40, 4, 4, 4], signed_maximum=True) == 1 / 8


def test_a_threshold_of_one_is_refused():
    with pytest.raises(InputError, match="threshold"):
        Compactness(threshold=1.0)
