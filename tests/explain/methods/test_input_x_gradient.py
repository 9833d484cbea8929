import torch
from tiny_vits import assert_maps_equal, check_contract, linear_model, make_images, make_model, pixel_weights

from ctxai.explain import InputXGradient


def test_of_a_linear_model_the_map_is_every_pixels_share():
    model = linear_model()
    images = make_images(model)
    expected = (images * pixel_weights(model, 2)).mean(dim=1)
    assert_maps_equal(InputXGradient(model).attribute(images, 2), expected)


def test_map_is_the_channel_mean_of_pixel_times_gradient():
    model = make_model("registers")
    images = make_images(model).requires_grad_()
    outputs = model(images)
    expected = [(images * torch.autograd.grad(outputs[:, t].sum(), images, retain_graph=True)[0]) for t in (0, 3)]
    expected = torch.stack(expected, dim=1).mean(dim=2).detach()
    assert_maps_equal(InputXGradient(model).attribute(images, [0, 3]), expected)


def test_input_x_gradient_keeps_the_contract():
    check_contract(InputXGradient)
