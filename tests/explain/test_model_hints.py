"""Refused models are told the way to one that is explained."""

import pytest
import timm
import torch
import torchvision
from lightly.models.modules import MaskedVisionTransformerTIMM
from tiny_vits import make_images, make_model
from torch import nn

from ctxai.errors import ModelError
from ctxai.explain import AGCAM, CDAM
from ctxai.models.lora import add_lora, merge_lora


class DinoVisionTransformer(nn.Module):
    """Named as in facebookresearch/dinov2."""


def torchvision_vit():
    return torchvision.models.VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16)


class ViT(nn.Module):
    """Stands for MONAI's, which needs a package that is not installed."""

    __module__ = "monai.networks.nets.vit"


class Linear8bitLt(nn.Linear):
    """Stands for bitsandbytes', which needs a GPU."""

    __module__ = "bitsandbytes.nn.modules"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (torchvision_vit, "torchvision's transformer"),
        (ViT, "MONAI's ViT"),
        (DinoVisionTransformer, "facebookresearch's DinoVisionTransformer .* load its state dict into timm"),
        (lambda: nn.Linear(3, 3), "vision transformers only"),
        (lambda: timm.create_model("vit_tiny_patch16_224", device="meta"), "meta device"),
    ],
)
def test_another_library_is_named_with_the_way_to_go(make, message):
    with pytest.raises(ModelError, match=message):
        CDAM(make())


def test_the_wrapper_of_lightly_is_told_apart_from_its_transformer():
    wrapper = MaskedVisionTransformerTIMM(make_model("vit", torch.float32))
    with pytest.raises(ModelError, match=r"pass its \.vit"):
        CDAM(wrapper).attribute(make_images(make_model("vit", torch.float32)), 0)
    CDAM(wrapper.vit).attribute(make_images(wrapper.vit), 0)


def test_adapters_are_refused_by_their_own_name_until_they_are_merged():
    model = make_model("vit")
    images = make_images(model)
    add_lora(model.blocks[-1], rank=2, alpha=1.0)
    model.double()
    with pytest.raises(ModelError, match=r"found ctxai\.models\.lora\.LoRALinear; merge its adapters"):
        CDAM(model).attribute(images, 0)
    merge_lora(model)
    CDAM(model).attribute(images, 0)


def test_quantised_layers_are_refused_by_their_own_name():
    model = make_model("vit", torch.float32)
    model.blocks[-1].attn.qkv.__class__ = Linear8bitLt
    with pytest.raises(ModelError, match="Linear8bitLt; load the weights without quantisation"):
        CDAM(model).attribute(make_images(make_model("vit", torch.float32)), 0)


@pytest.mark.parametrize("method", [CDAM, AGCAM])
def test_one_compiled_block_is_explained_as_the_block_itself(method):
    model = make_model("vit")
    images = make_images(model)
    expected = method(model).attribute(images, 1)
    model.blocks[1] = torch.compile(model.blocks[1])
    assert torch.equal(method(model).attribute(images, 1), expected)
