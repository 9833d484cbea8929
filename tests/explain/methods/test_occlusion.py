import pytest
import torch
from tiny_vits import SINGLE, assert_maps_equal, check_contract, linear_model, make_images, make_model, pixel_weights
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain import Occlusion


def test_of_a_linear_model_squares_side_by_side_hide_their_own_share():
    model = linear_model()
    images = make_images(model)
    share = (images * pixel_weights(model, 2)).sum(dim=1)
    squares = F.avg_pool2d(share, 8) * 64
    expected = squares.repeat_interleave(8, 1).repeat_interleave(8, 2)
    assert_maps_equal(Occlusion(model, window=8, stride=8).attribute(images, 2), expected, SINGLE)


def test_a_pixel_gets_the_mean_over_the_squares_it_lies_in():
    model = make_model("vit")
    images = make_images(model)
    total, count = torch.zeros(2, 32, 32, dtype=torch.float64), torch.zeros(32, 32)
    with torch.no_grad():
        for top in range(0, 32, 8):
            for left in range(0, 32, 8):
                hidden = images.clone()
                hidden[:, :, top : top + 16, left : left + 16] = 0.5
                loss = (model(images) - model(hidden))[:, 3]
                if top <= 16 and left <= 16:
                    total[:, top : top + 16, left : left + 16] += loss[:, None, None]
                    count[top : top + 16, left : left + 16] += 1
    assert_maps_equal(Occlusion(model, baseline=0.5).attribute(images, 3), total / count, SINGLE)


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 4, "stride": 5}, {"stride": -1}])
def test_windows_that_miss_pixels_are_refused(options):
    with pytest.raises(InputError, match="window"):
        Occlusion(make_model("vit"), **options)


def test_occlusion_keeps_the_contract():
    check_contract(Occlusion, tolerance=SINGLE)
