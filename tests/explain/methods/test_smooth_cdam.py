"""Smooth CDAM against full forward and backward passes with hooks that add the same noise."""

import pytest
import torch
from tiny_vits import check_contract, make_images, make_model, naive_map

from ctxai.errors import InputError
from ctxai.explain import CDAM, SmoothCDAM, uncertainty
from ctxai.explain.methods.smooth_cdam import DRAWS_AT_ONCE


def naive_smooth(model, images, target, variant, count, noise_level, seed):
    return naive_draws(model, images, target, variant, count, noise_level, seed).mean(dim=0)


def naive_draws(model, images, target, variant, count, noise_level, seed):
    """Maps (draw, N, h, w)."""
    maps = []
    for image in images:
        generator = torch.Generator().manual_seed(seed)
        draws = []
        for _ in range(count):

            def add_noise(tokens):
                noise = torch.randn(tokens.shape[1:], generator=generator).to(tokens)  # noqa: B023
                return tokens + noise_level * (tokens.max() - tokens.min()) * noise

            draws.append(naive_map(model, image, target, add_noise, variant))
        maps.append(torch.stack(draws))
    return torch.stack(maps, dim=1)


@pytest.mark.parametrize("variant", ["pre_norm", "post_norm"])
@pytest.mark.parametrize(
    "kind", ["vit", "registers", "query and key norm", "rotary with biases", "pooled", "two sizes of tokens"]
)
def test_smooth_cdam_is_the_mean_over_noisy_passes(kind, variant):
    model = make_model(kind)
    images = make_images(model)
    expected = naive_smooth(model, images, 2, variant, count=6, noise_level=0.07, seed=3)
    maps = SmoothCDAM(model, variant, n_samples=6, noise_level=0.07, seed=3).attribute(images, 2)
    torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("variant", ["pre_norm", "post_norm"])
def test_the_spread_is_the_standard_deviation_over_the_draws(variant):
    model = make_model("classifier")
    images = make_images(model)
    method = SmoothCDAM(model, variant, n_samples=7, noise_level=0.07, seed=3)  # 4 draws at once: two parts
    mean, spread = method.attribute_with_std(images, [2, "malignancy"])
    for position, target in enumerate([2, 1]):
        expected = naive_draws(model, images, target, variant, 7, 0.07, 3).std(dim=0, correction=0)
        torch.testing.assert_close(spread[:, position], expected, rtol=1e-9, atol=1e-9 * float(expected.max()))
        assert expected.min() > 0
    torch.testing.assert_close(mean, method.attribute(images, [2, "malignancy"]), rtol=1e-12, atol=1e-12)
    assert mean.dtype == spread.dtype == images.dtype
    assert not spread.requires_grad
    one = method.attribute_with_std(images, 2, size=(9, 7))
    assert one.mean.shape == one.std.shape == (2, 9, 7)


def test_draws_that_do_not_differ_have_no_spread():
    model = make_model("vit")
    _, spread = SmoothCDAM(model, n_samples=6, noise_level=0.0).attribute_with_std(make_images(model), 0)
    assert spread.max() < 1e-12
    _, spread = SmoothCDAM(model, n_samples=1).attribute_with_std(make_images(model), 0)
    assert spread.max() == 0


def test_no_more_draws_are_held_at_a_time_than_said(monkeypatch):
    held = []
    add = uncertainty.Moments.add
    monkeypatch.setattr(uncertainty.Moments, "add", lambda self, values: (held.append(len(values)), add(self, values)))
    model = make_model("vit")
    SmoothCDAM(model, n_samples=11).attribute_with_std(make_images(model), 0)
    assert sum(held) == 11
    assert max(held) <= DRAWS_AT_ONCE


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
