import numpy as np
import pytest
import torch
from tiny_vits import check_contract, make_images, make_model
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain import CDAM, RegionCDAM
from ctxai.explain.methods.region_cdam import segments, sum_up


def indices(masks):
    return [np.flatnonzero(mask) for mask in masks]


def naive_sum_up(values, masks, approximate):
    """The greedy choice with every mean taken anew."""
    result = np.full(values.shape, np.nan)
    waiting = list(range(len(masks)))
    if approximate:
        waiting.sort(key=lambda one: -values[masks[one]].mean())
    while True:
        waiting = [one for one in waiting if (masks[one] & np.isnan(result)).sum() >= 50]
        if not waiting:
            break
        means = [values[masks[one] & np.isnan(result)].mean() for one in waiting]
        chosen = waiting.pop(0 if approximate else int(np.argmax(means)))
        added = masks[chosen] & np.isnan(result)
        result[added] = values[added].mean()
    if np.isnan(result).any():
        result[np.isnan(result)] = values[np.isnan(result)].mean()
    return result


@pytest.mark.parametrize("approximate", [False, True])
def test_regions_are_added_in_the_order_of_their_mean_over_new_pixels(approximate):
    random = np.random.default_rng(0)
    values = random.normal(size=(30, 30))
    masks = np.zeros((25, 30, 30), dtype=bool)
    for mask in masks:
        top, left = random.integers(0, 20, 2)
        mask[top : top + 12, left : left + 10] = True
    expected = naive_sum_up(values, masks, approximate)
    np.testing.assert_allclose(sum_up(values, indices(masks), approximate), expected, atol=1e-12)


def test_halves_of_an_image_get_their_own_means():
    values = np.arange(400.0).reshape(20, 20)
    masks = np.zeros((2, 20, 20), dtype=bool)
    masks[0, :10], masks[1, 10:] = True, True
    summed = sum_up(values, indices(masks))
    assert np.unique(summed).tolist() == [values[:10].mean(), values[10:].mean()]


def test_regions_smaller_than_fifty_pixels_are_left_to_the_rest():
    masks = np.zeros((2, 20, 20), dtype=bool)
    masks[0, :2, :20], masks[1, 10:, :] = True, True
    values = np.where(masks[0], 5.0, np.where(masks[1], 1.0, 0.0))
    summed = sum_up(values, indices(masks))
    assert np.unique(summed[:10]).tolist() == [1.0]  # 40 pixels of 5 and 160 of 0


def test_segments_follow_the_edge_of_a_square_and_grow_by_the_radius():
    image = np.zeros((224, 224, 3))
    image[60:160, 60:160] = 1
    plain, grown = segments(image, 0, (100,)), segments(image, 3, (100,))
    square = np.zeros((224, 224))
    square[55:165, 55:165] = 1
    shares = [square.ravel()[pixels].mean() for pixels in plain]
    assert 1.0 in shares
    for before, after in zip(plain, grown, strict=True):
        assert set(before) < set(after) or len(before) == 224 * 224


def test_a_pixel_grows_to_a_disk():
    labels = segments(np.random.default_rng(0).normal(size=(224, 224, 1)), 0, (300,))
    grown = segments(np.random.default_rng(0).normal(size=(224, 224, 1)), 2, (300,))
    mask = np.zeros((224, 224), dtype=bool)
    mask.ravel()[labels[3]] = True
    rows, columns = np.nonzero(mask)
    near = np.zeros_like(mask)
    for row, column in zip(rows, columns, strict=True):
        for down in range(-2, 3):
            for right in range(-2, 3):
                inside = 0 <= row + down < 224 and 0 <= column + right < 224
                if inside and down**2 + right**2 <= 4:
                    near[row + down, column + right] = True
    np.testing.assert_array_equal(np.flatnonzero(near), np.sort(grown[3]))


def test_the_maps_mean_over_one_region_is_the_mean_of_cdam():
    model = make_model("vit")
    image = make_images(model, 1)[..., :1, :1].expand(-1, -1, 32, 32)  # flat: one segment
    cdam = CDAM(model).attribute(image, 1)
    regions = RegionCDAM(model).attribute(image, 1)
    torch.testing.assert_close(regions, cdam.mean().expand(1, 32, 32))


def test_negative_radius_is_refused():
    with pytest.raises(InputError, match="radius"):
        RegionCDAM(make_model("vit"), radius=-1)


@pytest.mark.parametrize("scales", [(), (100, 0)])
def test_scales_that_segment_nothing_are_refused(scales):
    with pytest.raises(InputError, match="scales"):
        RegionCDAM(make_model("vit"), scales=scales)


def test_two_coloured_halves_keep_the_sign_of_their_evidence():
    model = make_model("vit")
    image = F.interpolate(make_images(model, 1)[..., :1, :2] * 3, size=(32, 32), mode="nearest-exact")
    assert RegionCDAM(model).attribute(image, 1).unique().numel() >= 2


def test_region_cdam_keeps_the_contract():
    check_contract(RegionCDAM, kinds=["registers", "two sizes of tokens"], scales=(500,))
