"""The readers' outline on the images that a run sees."""

import numpy as np
import pytest
import torch

from benchmarks.own_outline import readers_masks
from ctxai.data.settings import ViewConfig

from cohorts import sphere_store

PIXEL_MM = 0.5


def test_the_readers_mask_has_its_place_and_size_on_the_images(tmp_path):
    store = sphere_store(tmp_path / "store", nodules=20, depth=1)
    diameters = store.table["diameter_mm"].to_numpy()
    rows = np.argsort(diameters)[[-1, -2]]
    views = ViewConfig(views=("axial",), field_of_view_mm=32.0, pixels=64)
    centres = torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, -3.0]])
    masks = readers_masks(store, rows, views, centres).numpy()
    for mask, diameter, (row, column) in zip(masks, diameters[rows], ((0, 0), (-2, 3)), strict=True):
        assert mask.sum() * PIXEL_MM**2 == pytest.approx(np.pi * diameter**2 / 4, rel=0.15)
        middle = (np.argwhere(mask).mean(0) - 31.5) * PIXEL_MM
        np.testing.assert_allclose(middle, (row, column), atol=0.3)
