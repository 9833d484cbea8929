"""Fills, in HU and as published."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.evaluate.explanations.perturbation_baselines import FILLS, make_fill
from ctxai.explain.clinical_baselines import USUAL_LUNG_HU, gaussian_blur

VIEWS = ViewConfig(field_of_view_mm=32.0, pixels=32, mean=-600.0, std=400.0)


def ct(seed=0):
    """Lung of -860 ± 30 HU, a ball of 20 HU, some air around the patient; preprocessed, and in HU."""
    generator = np.random.default_rng(seed)
    hu = generator.normal(-860, 30, (1, 32, 32))
    hu[0, 10:20, 12:22] = 20
    hu[0, :2] = -1000
    return torch.from_numpy((hu + 600) / 400)[:, None].expand(-1, 3, -1, -1), hu


def in_hu(fill):
    return fill * 400 - 600


def test_lung_mean_is_the_mean_of_the_images_own_lung():
    images, hu = ct()
    expected = hu[(hu > -980) & (hu < -500)].mean()
    torch.testing.assert_close(in_hu(make_fill("lung_mean", images, VIEWS, 0)), torch.full_like(images, expected))


def test_an_image_without_lung_is_filled_with_usual_lung():
    images = torch.full((1, 3, 32, 32), 1.5, dtype=torch.float64)  # water
    assert in_hu(make_fill("lung_mean", images, VIEWS, 0)).unique().tolist() == [USUAL_LUNG_HU]
    assert in_hu(make_fill("noise", images, VIEWS, 0)).unique().tolist() == [USUAL_LUNG_HU]


def test_noise_has_the_statistics_of_the_lung_and_one_field_for_all_images():
    images, hu = ct()
    lung = hu[(hu > -980) & (hu < -500)]
    fill = in_hu(make_fill("noise", torch.cat([images, images]), VIEWS, 3))
    assert float(fill.mean()) == pytest.approx(lung.mean(), abs=5)
    assert float(fill.std()) == pytest.approx(lung.std(), rel=0.1)
    assert fill[0].equal(fill[1])
    assert fill[0, 0].equal(fill[0, 2])
    assert not fill.equal(in_hu(make_fill("noise", images, VIEWS, 4)))


def test_blur_is_a_gaussian_of_six_millimetres():
    images, hu = ct()
    expected = gaussian_filter(hu[0], 6.0, mode="nearest", radius=24)
    np.testing.assert_allclose(in_hu(make_fill("blur", images, VIEWS, 0))[0, 0], expected, atol=1e-9)
    wide = replace(VIEWS, field_of_view_mm=64.0)  # the same pixels are twice as wide
    expected = gaussian_filter(hu[0], 3.0, mode="nearest", radius=12)
    np.testing.assert_allclose(in_hu(make_fill("blur", images, wide, 0))[0, 0], expected, atol=1e-9)


def test_black_is_air_and_uniform_fills_the_window():
    images, _ = ct()
    assert in_hu(make_fill("black", images, VIEWS, 0)).unique().tolist() == [-1000]
    uniform = in_hu(make_fill("uniform", images, VIEWS, 0))
    assert -1000 <= float(uniform.min()) < -980
    assert 380 < float(uniform.max()) <= 400


def test_zero_and_image_mean_need_no_hu():
    images = torch.randn(2, 3, 8, 8)
    assert make_fill("zero", images, None, 0).eq(0).all()
    mean = make_fill("image_mean", images, None, 0)
    torch.testing.assert_close(mean[1, 2], images[1, 2].mean().expand(8, 8))


def test_published_blurs_have_their_size_in_an_image_of_224_pixels():
    images = torch.randn(1, 1, 224, 224, dtype=torch.float64)
    expected = gaussian_filter(images[0, 0], 14.0, mode="nearest", radius=56)
    np.testing.assert_allclose(make_fill("blur_14", images, None, 0)[0, 0], expected, atol=1e-9)
    expected = gaussian_filter(images[0, 0], 5.0, mode="nearest", radius=5)
    np.testing.assert_allclose(make_fill("blur_rise", images, None, 0)[0, 0], expected, atol=1e-9)


def test_a_blur_keeps_a_constant():
    torch.testing.assert_close(gaussian_blur(torch.full((1, 2, 5, 7), 3.0), 4.0, 16), torch.full((1, 2, 5, 7), 3.0))


@pytest.mark.parametrize("name", FILLS)
def test_every_fill_has_the_images_shape_and_type(name):
    images = ct()[0].float()
    fill = make_fill(name, images, VIEWS, 0)
    assert (fill.shape, fill.dtype) == (images.shape, images.dtype)
    assert fill.isfinite().all()


def test_a_fill_in_hu_without_views_and_an_unknown_fill_are_refused():
    with pytest.raises(InputError, match="views"):
        make_fill("lung_mean", torch.zeros(1, 3, 8, 8), None, 0)
    with pytest.raises(InputError, match="lung_mean"):
        make_fill("pink", torch.zeros(1, 3, 8, 8), VIEWS, 0)
