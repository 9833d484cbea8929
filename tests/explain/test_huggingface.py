"""HuggingFace's own models are the oracle of their conversion."""

import pytest
import torch

from ctxai.errors import ModelError
from ctxai.explain import CDAM, AttentionMap, from_huggingface

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "num_labels": 5}


def vit(bare=False, **options):
    config = transformers.ViTConfig(**SMALL, intermediate_size=48, image_size=32, patch_size=8, **options)
    return (transformers.ViTModel if bare else transformers.ViTForImageClassification)(config)


def dinov2(bare=False, **options):
    config = transformers.Dinov2Config(**SMALL, image_size=56, patch_size=14, **options)
    return (transformers.Dinov2Model if bare else transformers.Dinov2ForImageClassification)(config)


def registers(bare=False):
    config = transformers.Dinov2WithRegistersConfig(**SMALL, image_size=56, patch_size=14, num_register_tokens=4)
    kind = transformers.Dinov2WithRegistersModel if bare else transformers.Dinov2WithRegistersForImageClassification
    return kind(config)


MODELS = {
    "vit": (vit, (32, 32)),
    "vit without biases": (lambda: vit(qkv_bias=False), (32, 32)),
    "vit with another activation": (lambda: vit(hidden_act="gelu_new"), (32, 32)),
    "dinov2": (dinov2, (56, 56)),
    "dinov2 at another size": (dinov2, (42, 70)),
    "dinov2 with gates": (lambda: dinov2(use_swiglu_ffn=True), (56, 56)),
    "registers": (registers, (56, 56)),
    "registers at another size": (registers, (42, 42)),
}


def made(name):
    make, size = MODELS[name]
    torch.manual_seed(0)
    model = make().double().eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model, torch.randn(2, 3, *size, dtype=torch.float64)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_original(name):
    model, images = made(name)
    with torch.no_grad():
        expected = model(images).logits
        found = from_huggingface(model)(images)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", [vit, dinov2, registers])
def test_a_bare_model_gives_its_normalised_class_token(make):
    model = make(bare=True).double().eval()
    images = torch.randn(2, 3, *((32, 32) if make is vit else (56, 56)), dtype=torch.float64)
    with torch.no_grad():
        expected = model(images).last_hidden_state[:, 0]
        torch.testing.assert_close(from_huggingface(model)(images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["vit", "dinov2"])
def test_cdam_is_the_token_times_gradient_of_the_original(name):
    model, images = made(name)
    kept = []
    last = (model.vit.layers if name == "vit" else model.dinov2.encoder.layer)[-1]
    norm = last.layernorm_before if name == "vit" else last.norm1
    handle = norm.register_forward_hook(lambda module, inputs, output: kept.append(output) or output.retain_grad())
    model(images).logits[:, 2].sum().backward()
    handle.remove()
    expected = (kept[0] * kept[0].grad).sum(dim=-1)[:, 1:].unflatten(1, (4, 4))
    torch.testing.assert_close(CDAM(model).attribute(images, 2), expected, rtol=1e-9, atol=1e-9)


def test_the_attention_map_is_the_originals_attention():
    torch.manual_seed(0)
    model = vit(attn_implementation="eager").double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    attention = model(images, output_attentions=True).attentions[-1]
    expected = attention.mean(dim=1)[:, 0, 1:].unflatten(1, (4, 4))
    # the original takes its softmax in float32
    torch.testing.assert_close(AttentionMap(model).attribute(images), expected, rtol=1e-6, atol=1e-7)


def test_other_architectures_are_refused_by_name():
    config = transformers.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1], num_heads=[1])
    with pytest.raises(ModelError, match=r"found SwinForImageClassification"):
        from_huggingface(transformers.SwinForImageClassification(config))
    with pytest.raises(ModelError, match="ViT and Dinov2 are explained"):
        CDAM(transformers.SwinForImageClassification(config))
    with pytest.raises(ModelError, match="found 'tanh'"):
        from_huggingface(vit(hidden_act="tanh"))
