from itertools import combinations
from math import comb

import pytest
import torch
from tiny_vits import check_contract, linear_model, make_images, make_model, pixel_weights
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain import KernelSHAP


def test_of_a_linear_model_every_cell_has_its_own_share():
    model = linear_model()
    images = make_images(model)
    share = (images * pixel_weights(model, 2)).sum(dim=1)
    cells = (F.avg_pool2d(share, 8) * 64).repeat_interleave(8, 1).repeat_interleave(8, 2)
    maps = KernelSHAP(model, n_samples=100, cells=4).attribute(images, 2)
    torch.testing.assert_close(maps, cells, rtol=1e-3, atol=1e-3 * float(cells.abs().max()))


def test_cells_have_the_shapley_values_that_all_coalitions_give():
    model = make_model("vit")
    image = make_images(model, 1)

    def value(shown):
        visible = torch.zeros_like(image)
        for cell in shown:
            rows, columns = slice(16 * (cell // 2), 16 * (cell // 2) + 16), slice(16 * (cell % 2), 16 * (cell % 2) + 16)
            visible[:, :, rows, columns] = image[:, :, rows, columns]
        return float(model(visible)[0, 1].detach())

    expected = []
    for cell in range(4):
        others = [other for other in range(4) if other != cell]
        expected.append(
            sum(
                (value((*shown, cell)) - value(shown)) / (4 * comb(3, size))
                for size in range(4)
                for shown in combinations(others, size)
            )
        )
    maps = KernelSHAP(model, n_samples=3000, cells=2).attribute(image, 1)[0]
    found = maps[8::16, 8::16].flatten()
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))
    assert maps.unique().numel() == 4


@pytest.mark.parametrize("options", [{"n_samples": 0}, {"cells": 0}])
def test_numbers_below_one_are_refused(options):
    with pytest.raises(InputError, match="at least 1"):
        KernelSHAP(make_model("vit"), **options)


def test_kernel_shap_keeps_the_contract():
    check_contract(KernelSHAP, kinds=["vit", "wide grid", "two sizes of tokens"], tolerance=1e-4, n_samples=60, cells=2)
