import pytest
import torch
from tiny_vits import assert_maps_equal, check_contract, linear_model, make_images, make_model, pixel_weights

from ctxai.errors import InputError
from ctxai.explain import SmoothGrad


def test_of_a_linear_model_the_map_is_its_weights():
    model = linear_model()
    expected = pixel_weights(model, 2).mean(dim=0).expand(2, -1, -1)
    assert_maps_equal(SmoothGrad(model, n_samples=2).attribute(make_images(model), 2), expected)


def test_map_is_the_mean_gradient_with_noise_of_each_images_own_range():
    model = make_model("vit")
    images = make_images(model) * torch.tensor([1.0, 5.0])[:, None, None, None]
    expected = []
    for image in images:
        generator = torch.Generator().manual_seed(4)
        total = 0
        for _ in range(3):
            noise = torch.randn(image.shape, generator=generator).to(image) * 0.2 * (image.max() - image.min())
            noisy = (image + noise)[None].requires_grad_()
            total = total + torch.autograd.grad(model(noisy)[0, 0], noisy)[0][0]
        expected.append(total.mean(dim=0) / 3)
    maps = SmoothGrad(model, n_samples=3, noise_level=0.2, seed=4).attribute(images, 0)
    assert_maps_equal(maps, torch.stack(expected))


@pytest.mark.parametrize("options", [{"n_samples": 0}, {"noise_level": float("nan")}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        SmoothGrad(make_model("vit"), **options)


def test_smooth_grad_keeps_the_contract():
    check_contract(SmoothGrad, n_samples=2)
