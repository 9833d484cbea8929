import pytest
import torch
from tiny_vits import SINGLE, assert_maps_equal, check_contract, linear_model, make_images, make_model, pixel_weights

from ctxai.errors import InputError
from ctxai.explain import IntegratedGradients


def test_of_a_linear_model_the_map_is_every_pixels_share():
    model = linear_model()
    images = make_images(model)
    expected = (images * pixel_weights(model, 2)).mean(dim=1)
    assert_maps_equal(IntegratedGradients(model, steps=3).attribute(images, 2), expected, SINGLE)


def test_gradients_are_averaged_at_the_right_end_of_every_step():
    model = make_model("vit")
    images = make_images(model)
    total = 0
    for step in range(1, 12):
        scaled = (images * step / 11).requires_grad_()
        total = total + torch.autograd.grad(model(scaled)[:, 1].sum(), scaled)[0]
    assert_maps_equal(
        IntegratedGradients(model, steps=11).attribute(images, 1), (images * total / 11).mean(dim=1), SINGLE
    )


def test_with_many_steps_the_pixels_add_up_to_the_difference_from_the_blank_image():
    model = make_model("vit")
    images = make_images(model)
    maps = IntegratedGradients(model, steps=300).attribute(images, 1)
    difference = (model(images) - model(torch.zeros_like(images)))[:, 1].detach()
    torch.testing.assert_close(
        maps.sum(dim=(1, 2)) * 3, difference, rtol=0.05, atol=0.05 * float(difference.abs().max())
    )


def test_steps_below_one_are_refused():
    with pytest.raises(InputError, match="steps"):
        IntegratedGradients(make_model("vit"), steps=0)


def test_integrated_gradients_keep_the_contract():
    check_contract(IntegratedGradients, tolerance=SINGLE, steps=3)
