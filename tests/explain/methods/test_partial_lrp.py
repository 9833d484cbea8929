import pytest
import torch
from lrp_reference import attention_relevance
from tiny_vits import as_grid, assert_maps_equal, check_contract, make_images, make_model

from ctxai.errors import InputError
from ctxai.explain import PartialLRP

CLOSE = 1e-7  # as in the tests of TransformerAttribution


@pytest.mark.parametrize("kind", ["vit", "wide grid", "two sizes of tokens"])
def test_map_is_the_relevance_of_the_class_tokens_last_attention(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = [
        as_grid(model, attention_relevance(model, image, 3, older=True)[-1].clamp(min=0).mean(dim=0)[0])
        for image in images
    ]
    assert_maps_equal(PartialLRP(model).attribute(images, 3), torch.stack(expected), CLOSE)


def test_targets_that_are_no_outputs_are_refused():
    model = make_model("vit")
    with pytest.raises(InputError, match="outputs of the model"):
        PartialLRP(model).attribute(make_images(model), lambda outputs: outputs[:, 0])


def test_partial_lrp_keeps_the_contract():
    check_contract(PartialLRP, callables=False, tolerance=CLOSE)
