"""What all methods share, seen through CDAM and through a method defined here."""

import pytest
import timm
import torch
from tiny_vits import make_images, make_model, state_of
from torch import nn

from ctxai.errors import InputError, ModelError
from ctxai.explain import CDAM, get_method, list_methods
from ctxai.explain.base import METHODS, Attribution


@pytest.fixture
def clean_registry(monkeypatch):
    list_methods()
    monkeypatch.setattr(METHODS, "_items", dict(METHODS._items))


def test_a_method_is_registered_on_definition_and_explains(clean_registry):
    class Ones(Attribution):
        name = "ones"
        signed = False
        class_specific = False
        reference = "here"

        def __init__(self, model, height=2):
            super().__init__(model)
            self.height = height

        def _maps(self, network, images, targets):
            return images.new_ones(1, len(images), self.height, 4)

    assert "ones" in list_methods()
    assert get_method("Ones") is Ones
    model = make_model("vit")
    method = Ones(model, height=3)
    assert method.options == {"height": 3}
    assert method.attribute(make_images(model), [0, 1]).shape == (2, 2, 3, 4)


def test_a_second_method_of_a_known_name_is_refused(clean_registry):
    with pytest.raises(InputError, match="which is CDAM's"):
        type("Other", (Attribution,), {"name": "cdam", "signed": True, "class_specific": True, "reference": ""})


def test_a_method_without_metadata_is_refused(clean_registry):
    with pytest.raises(InputError, match="metadata"):
        type("Other", (Attribution,), {"name": "other", "signed": True})


def test_an_unknown_method_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="cdam"):
        get_method("no such method")
    assert get_method("Smooth_CDAM") is get_method("SmoothCDAM")


def test_every_method_declares_its_metadata():
    for name in list_methods():
        method = get_method(name)
        assert method.resolution in ("patch", "pixel")
        assert method.upsampling in ("nearest", "bilinear")
        assert isinstance(method.signed, bool)
        assert method.reference


def test_upsampling_to_nearest_repeats_every_patch():
    model = make_model("vit")
    images = make_images(model)
    maps = CDAM(model).attribute(images, 0)
    large = CDAM(model).attribute(images, 0, size=(32, 32))
    torch.testing.assert_close(large, maps.repeat_interleave(8, 1).repeat_interleave(8, 2))


@pytest.mark.parametrize("size", [(0, 4), (3,)])
def test_a_size_that_is_no_image_is_refused(size):
    model = make_model("vit")
    with pytest.raises(InputError, match="height, width"):
        CDAM(model).attribute(make_images(model), 0, size=size)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), "N, C, H, W"),
        (torch.zeros(0, 3, 32, 32), "N, C, H, W"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.int16), "floating point"),
        (None, "NoneType"),
        (torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), torch.inf)]), "image 1"),
        (torch.full((1, 3, 32, 32), torch.nan), "image 0"),
        (torch.zeros(1, 3, 33, 32), "refuses images"),
        (torch.zeros(1, 1, 32, 32), "3 channels, found 1"),
    ],
)
def test_images_without_an_answer_are_refused_in_one_line(images, message):
    with pytest.raises(InputError, match=message) as caught:
        CDAM(make_model("vit", torch.float32)).attribute(images, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "found 0"),
        (nn.ModuleList([make_model("vit"), make_model("vit")]), "found 2"),
        (lambda images: images, "torch module"),
        (
            timm.create_model(
                "vit_tiny_patch16_224", patch_size=8, img_size=32, depth=1, embed_dim=48, num_heads=3, global_pool="map"
            ),
            "attention-pooling",
        ),
    ],
)
def test_models_that_cannot_be_explained_are_refused(model, message):
    with pytest.raises(ModelError, match=message):
        CDAM(model)


def test_model_whose_answer_is_not_finite_is_refused():
    model = make_model("vit")
    model.head.bias.data[0] = torch.nan
    with pytest.raises(ModelError, match="finite outputs"):
        CDAM(model).attribute(make_images(model), 1)


def test_an_error_leaves_the_model_as_it_was():
    model = make_model("classifier").train()
    before = state_of(model)
    with pytest.raises(ZeroDivisionError):
        CDAM(model).attribute(make_images(model), lambda outputs: 1 / 0)
    assert state_of(model) == before


def test_dropout_and_stochastic_depth_are_off_although_the_model_trains():
    options = {"depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 3, "drop_path_rate": 0.5}
    model = timm.create_model(
        "vit_tiny_patch16_224", patch_size=8, img_size=32, drop_rate=0.5, proj_drop_rate=0.5, **options
    ).train()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(CDAM(model).attribute(images, 0), CDAM(model).attribute(images, 0))
    assert model.training


def test_half_precision_images_come_back_in_half_precision():
    model = make_model("vit", torch.float32)
    images = make_images(model)
    maps = CDAM(model).attribute(images.half(), 0)
    assert maps.dtype == torch.float16
    torch.testing.assert_close(maps.float(), CDAM(model).attribute(images, 0), rtol=0.05, atol=0.05)
