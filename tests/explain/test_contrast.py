import pytest
import torch
from tiny_vits import make_images, make_model

from ctxai.errors import InputError
from ctxai.explain import CDAM, LIME, AttentionMap, Contrast, TransformerAttribution, last_block
from ctxai.explain.methods import cdam


@pytest.mark.parametrize("kind", ["vit", "registers", "query and key norm", "pooled", "classifier"])
def test_cdam_of_a_contrast_is_the_difference_of_the_cdams(kind):
    model = make_model(kind)
    images = make_images(model)
    maps = CDAM(model).attribute(images, [3, 1, Contrast(3, 1), Contrast(3)])
    assert maps[:, 2].abs().max() > 1e-3
    torch.testing.assert_close(maps[:, 2], maps[:, 0] - maps[:, 1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(maps[:, 3], maps[:, 0], rtol=1e-9, atol=1e-9)


def test_a_contrast_alone_is_what_it_is_among_others_and_costs_one_pass(monkeypatch):
    passes = []

    class Counted(last_block.LastBlock):
        def __init__(self, *args):
            passes.append(1)
            super().__init__(*args)

    monkeypatch.setattr(cdam, "LastBlock", Counted)
    model = make_model("classifier")
    images = make_images(model)
    named = CDAM(model).attribute(images, Contrast("texture", "margin"))
    among = CDAM(model).attribute(images, ["malignancy", Contrast("texture", "margin")])
    torch.testing.assert_close(named, among[:, 1])
    torch.testing.assert_close(named, CDAM(model).attribute(images, lambda outputs: outputs[:, 3] - outputs[:, 2]))
    assert len(passes) == 3


def test_methods_that_explain_every_image_by_itself_take_contrasts_and_those_that_ignore_targets_too():
    model = make_model("classifier")
    images = make_images(model)
    lime = LIME(model, n_samples=20)
    contrast = lime.attribute(images, Contrast("texture", "margin"))
    torch.testing.assert_close(contrast, lime.attribute(images, lambda outputs: outputs[:, 3] - outputs[:, 2]))
    assert AttentionMap(model).attribute(images, [Contrast(0, 1), 2]).shape[1] == 2


def test_a_contrast_is_named_after_its_parts():
    assert Contrast("spiculation", "lobulation").name == "spiculation-lobulation"
    assert Contrast(1, 2).name == "1-2"
    assert Contrast("margin").name == "margin"


@pytest.mark.parametrize(
    ("parts", "message"),
    [((1, 1), "always 0"), ((None, 1), "found None"), ((1.5, 1), "found 1.5"), ((True, 2), "found True")],
)
def test_parts_that_make_no_contrast_are_refused(parts, message):
    with pytest.raises(InputError, match=message):
        Contrast(*parts)


def test_outputs_that_a_model_has_not_are_refused():
    model = make_model("classifier")
    images = make_images(model)
    with pytest.raises(InputError, match="from 0 to 4, found 5"):
        CDAM(model).attribute(images, Contrast(5, 0))
    with pytest.raises(InputError, match="from 0 to 4, found -1"):
        CDAM(model).attribute(images, Contrast(0, -1))
    with pytest.raises(InputError, match="found 'beauty'"):
        CDAM(model).attribute(images, Contrast("margin", "beauty"))
    with pytest.raises(InputError, match="always 0"):
        CDAM(model).attribute(images, Contrast("margin", 2))


def test_a_method_that_starts_from_one_output_refuses_a_contrast():
    model = make_model("vit")
    with pytest.raises(InputError, match="a concept, a contrast or a callable"):
        TransformerAttribution(model).attribute(make_images(model), Contrast(0, 1))
