"""Radiomic features in an outline: discs whose values are known, and ITK's own shape and intensity statistics."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.stats import norm, spearmanr

from ctxai.data.crops import resample_crop
from ctxai.data.outline_features import OUTLINE_FEATURES, nodule_features, normal_scores, outline_features

PIXEL_MM = 0.5


def disc(radius_mm=6.0, inside=40.0, outside=-850.0):
    rows, columns = np.indices((64, 64)) - 31.5
    mask = np.hypot(rows, columns) * PIXEL_MM < radius_mm
    return np.where(mask, inside, outside), mask


def named(image, mask):
    return dict(zip(OUTLINE_FEATURES, outline_features(image, mask, PIXEL_MM), strict=True))


def test_a_disc_has_its_size_and_form():
    found = named(*disc())
    assert found["feret_diameter_mm"] == pytest.approx(12, abs=0.6)
    assert found["major_axis_mm"] == pytest.approx(12, abs=0.3)
    assert found["minor_axis_mm"] == pytest.approx(12, abs=0.3)
    assert np.exp(found["log_area_mm2"]) == pytest.approx(np.pi * 36, rel=0.02)
    assert found["circularity"] == pytest.approx(1, abs=0.1)
    assert found["eccentricity"] < 0.1 and found["solidity"] > 0.95


def test_size_and_hu_are_those_of_itk():
    rows, columns = np.indices((64, 64)) - 31.5
    mask = (rows / 9) ** 2 + ((columns + rows / 2) / 17) ** 2 < 1
    image = np.random.default_rng(0).normal(-100, 150, mask.shape)
    label, grey = sitk.GetImageFromArray(mask.astype(np.uint8)), sitk.GetImageFromArray(image)
    for one in (label, grey):
        one.SetSpacing((PIXEL_MM, PIXEL_MM))
    itk = sitk.LabelIntensityStatisticsImageFilter()
    itk.Execute(label, grey)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(label)
    found = named(image, mask)
    assert np.exp(found["log_area_mm2"]) == pytest.approx(itk.GetPhysicalSize(1))
    assert found["mean_hu"] == pytest.approx(itk.GetMean(1))
    assert found["std_hu"] == pytest.approx(itk.GetStandardDeviation(1), rel=2e-3)  # of N, ITK's of N - 1
    assert found["hu_median"] == pytest.approx(itk.GetMedian(1), abs=10)  # ITK's from a histogram
    assert found["feret_diameter_mm"] == pytest.approx(shape.GetFeretDiameter(1), abs=1.5 * PIXEL_MM)  # edges, centres
    assert found["perimeter_mm"] == pytest.approx(itk.GetPerimeter(1), rel=0.05)
    minor, major = sorted(itk.GetPrincipalMoments(1))
    assert found["major_axis_mm"] == pytest.approx(4 * major**0.5, rel=0.02)
    assert found["minor_axis_mm"] == pytest.approx(4 * minor**0.5, rel=0.02)


def test_hu_are_those_inside_and_of_the_ring():
    found = named(*disc())
    assert found["mean_hu"] == found["hu_5_percent"] == found["hu_95_percent"] == 40 and found["ring_mean_hu"] == -850
    assert found["contrast_hu"] == 890 and found["std_hu"] == found["ring_std_hu"] == 0


def test_texture_is_that_of_the_inside_alone():
    image, mask = disc()
    flat = named(image, mask)
    assert flat["texture_contrast"] == 0 and flat["texture_homogeneity"] == 1
    noise = np.random.default_rng(0).normal(0, 200, image.shape)
    assert named(np.where(mask, image, image + noise), mask)["texture_contrast"] == 0
    assert named(np.where(mask, image + noise, image), mask)["texture_contrast"] > 1


def test_a_sharper_edge_has_a_larger_gradient():
    sharp, faint = (named(*disc(inside=inside))["edge_gradient_hu_per_mm"] for inside in (40.0, -600.0))
    assert sharp > faint > 0


def test_an_outline_of_one_pixel_has_features():
    image, _ = disc()
    mask = np.zeros((64, 64), bool)
    mask[30, 30] = True
    assert np.isfinite(outline_features(image, mask, PIXEL_MM)).all()


def test_a_nodule_is_measured_where_its_outline_is_largest():
    z, y, x = np.indices((64, 64, 64)) - 31.5
    inside = (z - 6) ** 2 + y**2 + x**2 < 7**2
    found = dict(zip(OUTLINE_FEATURES, nodule_features(np.where(inside, 0, -800), inside), strict=True))
    assert found["major_axis_mm"] == pytest.approx(14, abs=0.5)
    assert found["mean_hu"] > -100 and found["ring_mean_hu"] < -700


def test_real_nodules_have_the_order_of_size_and_hu_that_others_measured(real_data):
    """The collection brings features of other software, in the same outlines at the scanner's own resolution."""
    folder = real_data / "lidc-nodules-2d"
    others, labels = (pd.read_csv(folder / name).iloc[::36] for name in ("radiomics.csv", "labels.csv"))
    assert (others["nodule_id"] == labels["nodule_id"]).all()
    with np.load(folder / "crops.npz", allow_pickle=False) as crops:
        cut = [
            resample_crop(hu, mask, float(spacing))
            for hu, mask, spacing in zip(
                crops["hu"][::36], crops["mask"][::36], labels["pixel_spacing_mm"], strict=True
            )
        ]
    found = np.stack([nodule_features(hu[None], inside[None] > 0) for hu, inside, _ in cut])
    assert len(found) == 60 and np.isfinite(found).all()
    pairs = {"log_area_mm2": "Area", "perimeter_mm": "Perimeter", "major_axis_mm": "MajorAxisLength"}
    for name, other in (pairs | {"mean_hu": "MeanIntensity"}).items():
        agreement = spearmanr(found[:, OUTLINE_FEATURES.index(name)], others[other]).statistic
        assert agreement > (0.9 if name in pairs else 0.7), name


def test_a_nodule_without_an_outline_has_no_features():
    empty = np.zeros((1, 64, 64))
    assert np.isnan(nodule_features(empty, empty > 0)).all()


def test_scores_are_normal_and_keep_order_and_gaps():
    features = np.array([[5.0, 1.0], [7.0, np.nan], [100.0, 2.0], [6.0, 2.0]])
    scores = normal_scores(features)
    np.testing.assert_allclose(scores[:, 0], norm.ppf(np.array([1, 3, 4, 2]) / 5), rtol=1e-6)
    np.testing.assert_allclose(scores[[0, 2, 3], 1], norm.ppf(np.array([1, 2.5, 2.5]) / 4), rtol=1e-6)
    assert np.isnan(scores[1, 1])
