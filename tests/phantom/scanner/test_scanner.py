from dataclasses import replace

import numpy as np
import pytest

from ctxai.phantom.scanner.scanner import Noise, blur, draw_scanner

SCANNER = replace(draw_scanner(np.random.default_rng(0)), sharpness=0.5)


def noise(**changes) -> Noise:
    return Noise(replace(SCANNER, **changes), 256, 0.7, np.random.default_rng(3))


def test_noise_has_unit_variance_and_no_bias():
    source = noise()
    planes = np.stack([source.slice(0.3) for _ in range(6)])
    assert planes.std() == pytest.approx(1, abs=0.1)
    assert planes.mean() == pytest.approx(0, abs=0.05)


def test_a_sharp_kernel_s_noise_is_finer():
    def correlation(sharpness: float) -> float:
        plane = noise(sharpness=sharpness).slice(0)
        return float(np.corrcoef(plane[:, :-1].ravel(), plane[:, 1:].ravel())[0, 1])

    assert correlation(0.0) > correlation(1.0) + 0.2


def test_streaks_run_from_side_to_side():
    plane = noise().slice(0.9)
    along, across = (
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in ((plane[:, :-6], plane[:, 6:]), (plane[:-6], plane[6:]))
    )
    assert along > across + 0.3


def test_neighbouring_slices_share_some_noise():
    source = noise()
    source.slice(0.2)
    first, second = source.slice(0.2), source.slice(0.2)
    assert 0.15 < np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.6


def test_blur_spreads_a_point_and_keeps_its_sum():
    image = np.zeros((9, 9), np.float32)
    image[4, 4] = 1
    out = blur(image, 0.2)
    assert out.sum() == pytest.approx(1)
    np.testing.assert_allclose(out[4, 3:6], [0.12, 0.36, 0.12], atol=1e-6)
