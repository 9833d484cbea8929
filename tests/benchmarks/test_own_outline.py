"""Features of a nodule in an outline, on discs whose values are known."""

import numpy as np
import pytest
import torch

from benchmarks.own_outline import TEXTURE, _features, readers_masks
from ctxai.data.settings import ViewConfig

from cohorts import sphere_store

PIXEL_MM = 0.5
NAMES = (
    *("feret", "major", "minor", "log_area", "perimeter", "form", "eccentricity", "solidity", "extent"),
    *("mean", "std", "p5", "p50", "p95", "ring_mean", "ring_std", "difference", "edge"),
    *TEXTURE,
)


def disc(radius_mm=6.0, inside=40.0, outside=-850.0):
    rows, columns = np.indices((64, 64)) - 31.5
    mask = np.hypot(rows, columns) * PIXEL_MM < radius_mm
    return np.where(mask, inside, outside), mask


def named(image, mask):
    return dict(zip(NAMES, _features(image, mask, PIXEL_MM), strict=True))


def test_a_disc_has_its_size_and_form():
    found = named(*disc())
    assert found["feret"] == pytest.approx(12, abs=0.6)
    assert found["major"] == pytest.approx(12, abs=0.3) and found["minor"] == pytest.approx(12, abs=0.3)
    assert np.exp(found["log_area"]) == pytest.approx(np.pi * 36, rel=0.02)
    assert found["form"] == pytest.approx(1, abs=0.1) and found["eccentricity"] < 0.1 and found["solidity"] > 0.95


def test_hu_are_those_inside_and_of_the_ring():
    found = named(*disc())
    assert found["mean"] == found["p5"] == found["p95"] == 40 and found["ring_mean"] == -850
    assert found["difference"] == 890 and found["std"] == found["ring_std"] == 0


def test_texture_is_that_of_the_inside_alone():
    image, mask = disc()
    flat = named(image, mask)
    assert flat["contrast"] == 0 and flat["homogeneity"] == 1
    noise = np.random.default_rng(0).normal(0, 200, image.shape)
    assert named(np.where(mask, image, image + noise), mask)["contrast"] == 0
    assert named(np.where(mask, image + noise, image), mask)["contrast"] > 1


def test_a_sharper_edge_has_a_larger_gradient():
    image, mask = disc()
    faint, _ = disc(inside=-600.0)
    assert named(image, mask)["edge"] > named(faint, mask)["edge"] > 0


def test_an_outline_of_one_pixel_has_features():
    image, _ = disc()
    mask = np.zeros((64, 64), bool)
    mask[30, 30] = True
    assert np.isfinite(_features(image, mask, PIXEL_MM)).all()


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
