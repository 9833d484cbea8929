import copy

import pytest
import timm
import torch
from lrp_reference import attention_relevance
from tiny_vits import as_grid, assert_maps_equal, check_contract, make_images, make_model, record

from ctxai.errors import InputError
from ctxai.explain import Concept, PartialLRP, TransformerAttribution

CLOSE = 1e-7  # the stabiliser of 1e-9 in every division meets denominators that are summed in another order


def naive_attribution(model, image, target, start=0):
    own = record(model, image)
    relevance = attention_relevance(model, image, target)
    product = torch.eye(own.tokens[0].shape[1], dtype=image.dtype)
    for attention, share in zip(own.attention[start:], relevance[start:], strict=True):
        gradient = torch.autograd.grad(own.outputs[target], attention, retain_graph=True)[0][0]
        product = product + (gradient * share).clamp(min=0).mean(dim=0) @ product
    return as_grid(model, product[0])


@pytest.mark.parametrize(
    ("kind", "start"), [("vit", 0), ("vit", 1), ("wide grid", 0), ("wide grid", 1), ("two sizes of tokens", 1)]
)
def test_attribution_is_the_product_of_gradient_times_relevance(kind, start):
    model = make_model(kind)
    images = make_images(model)
    expected = torch.stack([naive_attribution(model, image, 2, start) for image in images])
    assert_maps_equal(TransformerAttribution(model, start=start).attribute(images, 2), expected, CLOSE)


@pytest.mark.parametrize("target", [lambda outputs: outputs[:, 0], Concept(torch.zeros(48))])
def test_targets_that_are_no_outputs_are_refused(target):
    model = make_model("vit")
    with pytest.raises(InputError, match="outputs of the model"):
        TransformerAttribution(model).attribute(make_images(model), target)


def test_transformer_attribution_keeps_the_contract():
    check_contract(TransformerAttribution, callables=False, tolerance=CLOSE)


@pytest.mark.parametrize("kind", ["distilled", "rotary", "pooled", "no class token", "class and mean"])
def test_every_other_kind_of_model_gets_a_finite_map(kind):
    model = make_model(kind)
    maps = TransformerAttribution(model).attribute(make_images(model), [0, 1])
    assert maps.isfinite().all()
    assert maps.any()


@pytest.mark.parametrize("method", [TransformerAttribution, PartialLRP])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_deep_model_has_the_map_of_float64_in_every_precision(method, dtype):
    torch.manual_seed(1)
    model = timm.create_model(
        "vit_tiny_patch16_224", patch_size=8, img_size=32, embed_dim=48, depth=12, num_heads=3, num_classes=5
    )
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model, images = model.eval().to(dtype), torch.randn(2, 3, 32, 32).to(dtype)
    expected = method(copy.deepcopy(model).double()).attribute(images.double(), [0, 2])
    found = method(model).attribute(images, [0, 2])
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.to(dtype))


def test_a_model_that_casts_to_its_own_precision_is_explained_in_it(caplog):
    class Casting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = make_model("vit", torch.float32)

        def forward(self, images):
            return self.vit(images.float())

    model = Casting().eval()
    images = make_images(model.vit)
    maps = TransformerAttribution(model).attribute(images, 1)
    assert "own precision" in caplog.text
    torch.testing.assert_close(maps, TransformerAttribution(model.vit).attribute(images, 1), rtol=1e-2, atol=1e-2)
