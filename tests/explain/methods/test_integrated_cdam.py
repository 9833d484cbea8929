"""Integrated CDAM against full forward and backward passes with hooks that scale the tokens."""

import pytest
import torch
from tiny_vits import check_contract, make_images, make_model, naive_map

from ctxai.explain import IntegratedCDAM


@pytest.mark.parametrize("variant", ["pre_norm", "post_norm"])
@pytest.mark.parametrize("kind", ["vit", "rotary", "two sizes of tokens", "class and mean"])
def test_integrated_cdam_is_the_mean_of_the_maps_along_the_path(kind, variant):
    model = make_model(kind)
    images = make_images(model)
    steps = range(1, 7) if variant == "pre_norm" else range(8)
    expected = torch.stack(
        [
            sum(naive_map(model, image, 1, lambda tokens, k=k: tokens * (k / 7), variant) for k in steps) / len(steps)
            for image in images
        ]
    )
    maps = IntegratedCDAM(model, variant, steps=7).attribute(images, 1)
    torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_scaling_before_the_norm_leaves_the_attention_as_it_is():
    model = make_model("vit")
    images = make_images(model)
    for module in (model.blocks[-1].mlp.fc2, model.blocks[-1].attn.proj, model.norm):
        torch.nn.init.zeros_(module.bias)
    pre, post = (IntegratedCDAM(model, variant, steps=4).attribute(images, 0) for variant in ("pre_norm", "post_norm"))
    assert not torch.allclose(pre, post)


def test_integrated_cdam_keeps_the_contract():
    check_contract(IntegratedCDAM, steps=4, noise_level=0.02)
