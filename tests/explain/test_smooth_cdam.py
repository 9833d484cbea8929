"""Smooth CDAM against full forward and backward passes with hooks that add the same noise."""

import pytest
import torch
from tiny_vits import check_contract, make_images, make_model, naive_map

from ctxai.errors import InputError
from ctxai.explain import CDAM, SmoothCDAM


def naive_smooth(model, images, target, variant, count, noise_level, seed):
    maps = []
    for image in images:
        generator = torch.Generator().manual_seed(seed)
        total = 0
        for _ in range(count):

            def add_noise(tokens):
                noise = torch.randn(tokens.shape[1:], generator=generator).to(tokens)  # noqa: B023
                return tokens + noise_level * (tokens.max() - tokens.min()) * noise

            total = total + naive_map(model, image, target, add_noise, variant)
        maps.append(total / count)
    return torch.stack(maps)


@pytest.mark.parametrize("variant", ["pre_norm", "post_norm"])
@pytest.mark.parametrize("kind", ["vit", "registers", "query and key norm", "rotary with biases", "pooled"])
def test_smooth_cdam_is_the_mean_over_noisy_passes(kind, variant):
    model = make_model(kind)
    images = make_images(model)
    expected = naive_smooth(model, images, 2, variant, count=6, noise_level=0.07, seed=3)
    maps = SmoothCDAM(model, variant, n_samples=6, noise_level=0.07, seed=3).attribute(images, 2)
    torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_without_noise_smooth_cdam_is_cdam():
    model = make_model("vit")
    images = make_images(model)
    maps = SmoothCDAM(model, n_samples=5, noise_level=0.0).attribute(images, [0, 1])
    torch.testing.assert_close(maps, CDAM(model).attribute(images, [0, 1]), rtol=1e-9, atol=1e-9)


def test_the_default_target_is_chosen_on_the_image_without_noise():
    model = make_model("vit")
    images = make_images(model, 4)
    method = SmoothCDAM(model, n_samples=5, noise_level=0.5)
    largest = model(images).argmax(dim=1)
    torch.testing.assert_close(method.attribute(images), method.attribute(images, largest))


def test_a_callable_sees_every_draw_as_a_batch_of_its_images():
    model = make_model("vit")
    images = make_images(model, 3)
    method = SmoothCDAM(model, n_samples=5)
    targets = torch.tensor([0, 2, 4])
    maps = method.attribute(images, lambda outputs: outputs[torch.arange(3), targets])
    torch.testing.assert_close(maps, method.attribute(images, targets))


def test_same_seed_gives_the_same_map_and_another_seed_another():
    model = make_model("vit")
    images = make_images(model)
    first = SmoothCDAM(model, n_samples=3).attribute(images, 0)
    assert torch.equal(first, SmoothCDAM(model, n_samples=3).attribute(images, 0))
    assert not torch.allclose(first, SmoothCDAM(model, n_samples=3, seed=1).attribute(images, 0))


@pytest.mark.parametrize("options", [{"variant": "norm"}, {"n_samples": 0}, {"noise_level": -1.0}])
def test_options_that_give_no_map_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        SmoothCDAM(make_model("vit"), **options)


def test_smooth_cdam_keeps_the_contract():
    check_contract(SmoothCDAM, n_samples=3)
