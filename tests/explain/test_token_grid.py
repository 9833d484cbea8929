"""Images that are no whole number of patches, and convolutional stems."""

import pytest
import timm
import torch
from tiny_vits import TINY, make_images, make_model
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.explain import AGCAM, CDAM, KernelSHAP, Occlusion, RegionCDAM, TransformerAttribution


def padding_model():
    return timm.create_model(
        "vit_tiny_patch16_224", patch_size=8, img_size=32, dynamic_img_size=True, dynamic_img_pad=True, **TINY
    ).eval()


def cutting_model():
    return timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=30, **TINY).eval()


def hybrid(**options):
    return timm.create_model("vit_tiny_r_s16_p8_224", img_size=64, **TINY, **options).eval()


@pytest.mark.parametrize("method", [CDAM, AGCAM])
def test_a_padded_grid_is_cut_to_the_image_and_not_squeezed_into_it(method):
    model = padding_model()
    images = torch.randn(2, 3, 27, 20)
    padded = F.pad(images, (0, 4, 0, 5))
    expected = method(model).attribute(padded, 1, size=(32, 24))[:, :27, :20]
    torch.testing.assert_close(method(model).attribute(images, 1, size=(27, 20)), expected)


def test_twice_the_size_is_twice_the_cut_map():
    model, images = padding_model(), torch.randn(1, 3, 27, 20)
    once = CDAM(model).attribute(images, 1, size=(27, 20))
    twice = CDAM(model).attribute(images, 1, size=(54, 40))
    torch.testing.assert_close(twice, once.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_margins_that_no_token_reads_are_zero():
    model, images = cutting_model(), torch.randn(1, 3, 30, 30)
    maps = CDAM(model).attribute(images, 1)
    large = CDAM(model).attribute(images, 1, size=(30, 30))
    torch.testing.assert_close(large[:, :24, :24], maps.repeat_interleave(8, 1).repeat_interleave(8, 2))
    assert not large[:, 24:].any() and not large[:, :, 24:].any()


@pytest.mark.parametrize("make", [padding_model, cutting_model])
def test_metrics_see_the_same_pixels_as_attribute(make):
    model = make()
    images = torch.randn(2, 3, 30, 30)
    method = CDAM(model)
    batch = ExplanationBatch(images, method.attribute(images, 1), model, target=1, method=method)
    torch.testing.assert_close(batch.pixel_maps.float(), method.attribute(images, 1, size=(30, 30)))
    alone = ExplanationBatch(images, method.attribute(images, 1), model, target=1)
    torch.testing.assert_close(alone.pixel_maps, batch.pixel_maps)


def test_metrics_see_tokens_of_two_sizes_where_attribute_draws_them():
    model = make_model("two sizes of tokens")
    images, method = make_images(model), CDAM(model)
    batch = ExplanationBatch(images, method.attribute(images, 1), model, target=1, method=method)
    assert batch.maps.shape == (2, 8, 8)
    torch.testing.assert_close(batch.pixel_maps, method.attribute(images, 1, size=(32, 32)))


@pytest.mark.parametrize("method", [Occlusion, KernelSHAP, RegionCDAM])
def test_methods_on_pixels_follow_the_tokens_of_a_padded_image(method):
    options = {"n_samples": 60} if method is KernelSHAP else {}
    maps = method(padding_model(), **options).attribute(torch.randn(1, 3, 27, 20), 1)
    assert maps.shape == (1, 27, 20)
    edges = maps.diff(dim=2).abs().amax(dim=(0, 1)).nonzero().flatten() + 1
    if method is not RegionCDAM:
        assert set(edges.tolist()) <= {8, 16}


@pytest.mark.parametrize("method", [CDAM, AGCAM, TransformerAttribution])
def test_a_convolutional_stem_is_explained(method):
    model = hybrid()
    images = torch.randn(2, 3, 64, 64)
    maps = method(model).attribute(images, 1)
    assert maps.shape == (2, *model.patch_embed.grid_size)
    assert maps.any()


def test_cdam_of_a_hybrid_is_token_times_gradient():
    model, images = hybrid().double(), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    kept = []
    handle = model.blocks[-1].norm1.register_forward_hook(
        lambda module, inputs, output: kept.append(output) or output.retain_grad()
    )
    model(images)[:, 1].sum().backward()
    handle.remove()
    expected = (kept[0] * kept[0].grad).sum(dim=-1)[:, 1:].unflatten(1, tuple(model.patch_embed.grid_size))
    torch.testing.assert_close(CDAM(model).attribute(images, 1), expected, rtol=1e-9, atol=1e-12)


def test_channels_of_a_hybrid_are_those_of_its_stem():
    with pytest.raises(InputError, match="3 channels, found 1"):
        CDAM(hybrid()).attribute(torch.randn(1, 1, 64, 64), 0)
