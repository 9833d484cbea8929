"""Correlations of rows."""

import numpy as np
import torch
from scipy.stats import pearsonr
from scipy.stats import spearmanr as scipy_spearman

from ctxai.evaluate.explanations.similarity import pearson, spearman

ROWS = torch.randn(2, 4, 30, generator=torch.Generator().manual_seed(0))


def test_rows_agree_with_scipy():
    first, second = ROWS[0].round(decimals=1), ROWS[1]  # rounding makes ties
    expected = [pearsonr(a, b).statistic for a, b in zip(first.double(), second.double(), strict=True)]
    np.testing.assert_allclose(pearson(first, second), expected, rtol=1e-12)
    expected = [scipy_spearman(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(spearman(first, second), expected, rtol=1e-12)


def test_equal_rows_are_exactly_one_and_opposite_ones_minus_one():
    assert pearson(ROWS[0], ROWS[0]).eq(1).all()
    assert spearman(ROWS[0], ROWS[0].exp()).eq(1).all()
    torch.testing.assert_close(pearson(ROWS[0], -ROWS[0]), -torch.ones(4).double())


def test_a_constant_row_correlates_with_nothing_but_itself():
    constant = torch.full((4, 30), 0.1)
    assert pearson(constant, ROWS[0]).isnan().all()
    assert spearman(ROWS[0], constant).isnan().all()
    assert pearson(constant, constant).eq(1).all()
