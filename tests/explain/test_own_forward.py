"""Models whose attention is not timm's: the map of the own forward, or a refusal by name."""

import types

import pytest
import torch
from timm.models.vision_transformer import Attention, VisionTransformer
from tiny_vits import make_images, make_model, vit_of

from ctxai.errors import ModelError
from ctxai.explain import AGCAM, CDAM, AttentionMap, GenericAttribution, InputXGradient, TokenAblation, TokenTM


class Doubled(Attention):
    def forward(self, x, *args, **kwargs):
        return 2 * super().forward(x, *args, **kwargs)


class Renamed(Attention):
    def forward(self, x, *args, **kwargs):
        return super().forward(x, *args, **kwargs)


class Scaled(VisionTransformer):
    def forward_features(self, x, *args, **kwargs):
        return 1.5 * super().forward_features(x, *args, **kwargs)


def subclass(vit):
    vit.blocks[1].attn.__class__ = Doubled


def replaced(vit):
    attn = vit.blocks[-1].attn
    attn.forward = types.MethodType(lambda self, x, *a, **k: 2 * Attention.forward(self, x, *a, **k), attn)


def hook(vit):
    vit.blocks[0].attn.register_forward_hook(lambda module, inputs, output: 2 * output)


def hook_on_qkv(vit):
    vit.blocks[-1].attn.qkv.register_forward_hook(lambda module, inputs, output: output + 1)


def hook_before(vit):
    vit.blocks[1].attn.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2, *inputs[1:]))


def hook_on_block(vit):
    vit.blocks[-1].register_forward_hook(lambda module, inputs, output: output.roll(1, dims=-1))


def own_features(vit):
    vit.__class__ = Scaled


def features_replaced(vit):
    vit.forward_features = types.MethodType(lambda self, x, **k: 1.5 * VisionTransformer.forward_features(self, x), vit)


CHANGES = [
    subclass,
    replaced,
    hook,
    hook_on_qkv,
    hook_before,
    hook_on_block,
    own_features,
    features_replaced,
]
NAMES = ["blocks.1.attn", "blocks.2.attn", "blocks.0.attn", "blocks.2.attn.qkv", "blocks.1.attn", "blocks.2"]
NAMES += ["Scaled.forward_features", "VisionTransformer.forward_features"]


@pytest.mark.parametrize("method", [CDAM, AGCAM, AttentionMap, GenericAttribution, TokenTM, TokenAblation])
@pytest.mark.parametrize(("change", "name"), list(zip(CHANGES, NAMES, strict=True)))
def test_a_change_that_would_be_left_out_is_refused_by_name(change, name, method):
    model = make_model("vit")
    change(model)
    with pytest.raises(ModelError, match=f"found another result with the forward or the hooks of {name}"):
        method(model).attribute(make_images(model), 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_method_on_pixels_explains_the_changed_model(change):
    model = make_model("vit")
    change(model)
    images = make_images(model).requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[:, 1].sum(), images)
    expected = (images * gradient).mean(dim=1).detach()
    torch.testing.assert_close(InputXGradient(model).attribute(images.detach(), 1), expected)


@pytest.mark.parametrize("kind", ["vit", "rotary with biases", "classifier"])
def test_hooks_that_only_look_and_subclasses_that_compute_the_same_change_nothing(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = CDAM(model).attribute(images, 1)
    seen = []
    attn = vit_of(model).blocks[-1].attn
    attn.register_forward_hook(lambda module, inputs, output: seen.append(output.shape) and None)
    if type(attn) is Attention:
        attn.__class__ = Renamed
    assert torch.equal(CDAM(model).attribute(images, 1), expected)
    assert seen


def test_a_replaced_forward_stays_on_the_callers_model():
    model = make_model("vit")
    replaced(model)
    before = model.blocks[-1].attn.forward
    with pytest.raises(ModelError):
        CDAM(model).attribute(make_images(model), 1)
    assert model.blocks[-1].attn.forward is before
