import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from ctxai.errors import ModelError
from ctxai.models.backbone import make_backbone
from ctxai.models.settings import BackboneConfig

TINY = BackboneConfig(depth=1)


def test_the_backbone_has_one_token_per_patch_and_a_class_token():
    model = make_backbone(BackboneConfig(patch_size=8, depth=2), pixels=32)
    assert isinstance(model, VisionTransformer)
    assert len(model.blocks) == 2
    assert model.forward_features(torch.zeros(1, 3, 32, 32)).shape == (1, 1 + 16, 192)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 192)


def test_random_position_embeddings_start_from_places_on_the_grid():
    places = make_backbone(TINY, pixels=32).pos_embed[0, 1:].reshape(4, 4, -1)
    near = torch.linalg.vector_norm(places[0, 0] - places[0, 1])
    far = torch.linalg.vector_norm(places[0, 0] - places[3, 3])
    assert far > near * 1.2


@pytest.mark.parametrize(
    ("name", "pixels", "other", "width", "prefix"),
    [
        ("vit_small_patch8_224.dino", 32, 16, 384, 1),
        ("vit_base_patch8_224.dino", 16, 24, 768, 1),
        ("vit_small_patch16_224.dino", 48, 32, 384, 1),
        ("vit_base_patch16_224.dino", 32, 16, 768, 1),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 42, 28, 384, 5),
        ("vit_small_patch16_dinov3.lvd1689m", 48, 32, 384, 5),
        ("vit_tiny_patch16_224", 32, 48, 192, 1),
    ],
)
def test_every_architecture_is_built_for_any_size(name, pixels, other, width, prefix):
    config = BackboneConfig(name, patch_size=None, depth=1)
    model = make_backbone(config, pixels).eval()
    assert model.num_prefix_tokens == prefix
    assert len(model.blocks) == 1
    flexible = make_backbone(config, pixels, any_size=True).eval()
    flexible.load_state_dict(model.state_dict())
    with torch.inference_mode():
        image = torch.randn(1, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
        features = model(image)
        assert features.shape == (1, width) == flexible(torch.zeros(1, 3, other, other)).shape
        torch.testing.assert_close(flexible(image), features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_dropped_tokens_are_missing_in_training_alone(name):
    config = BackboneConfig(name, patch_size=16, depth=1, drop_path_rate=0.0)
    model = make_backbone(config, pixels=64, token_drop=0.5)
    seen: list[int] = []
    model.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    for training in (True, False):
        model.train(training)(torch.zeros(1, 3, 64, 64))
    assert seen == [8 + model.num_prefix_tokens, 16 + model.num_prefix_tokens]


def test_weights_of_a_file_make_the_download_needless(tmp_path, monkeypatch):
    save_file(make_backbone(TINY, pixels=32).state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    make_backbone(BackboneConfig(depth=1, pretrained=True, weights=tmp_path / "weights.safetensors"), pixels=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "no_such_model"}, "not one of timm's vision transformers"),
        ({"name": "resnet18", "patch_size": None}, "not one of timm's vision transformers"),
        ({"patch_size": 7}, "not a multiple of its 7 px patches"),
        ({"weights": "absent.pth"}, "no such weights file"),
        ({"patch_size": 10**9}, "expected 1 to 64 pixels"),
        ({"depth": 10**9}, "expected 1 to 128 blocks"),
        ({"patch_size": 0}, "expected 1 to 64 pixels"),
        ({"drop_rate": 1.5}, "below 1"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(options, message):
    with pytest.raises(ModelError, match=message) as refused:
        make_backbone(BackboneConfig(**({"depth": 1 if "name" not in options else None} | options)), pixels=32)
    assert "\n" not in str(refused.value)


def test_more_tokens_than_any_image_needs_are_refused():
    with pytest.raises(ModelError, match="more than 65536 tokens"):
        make_backbone(TINY, pixels=10**6)


def test_without_a_network_the_published_weights_are_missed_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "absent")
    with pytest.raises(
        ModelError, match=r"cannot be downloaded .*; take model\.safetensors from .*vit_tiny_.* as backbone\.weights"
    ) as refused:
        make_backbone(BackboneConfig("vit_tiny_patch16_224", patch_size=None, depth=1, pretrained=True), pixels=32)
    assert "\n" not in str(refused.value)


def test_dropout_is_that_of_every_layer_but_the_read_out():
    model = make_backbone(BackboneConfig(depth=1, drop_rate=0.12), pixels=16)
    rates = {name: part.p for name, part in model.named_modules() if isinstance(part, torch.nn.Dropout)}
    assert rates.pop("head_drop") == 0.0
    assert {"pos_drop", "blocks.0.attn.attn_drop", "blocks.0.attn.proj_drop", "blocks.0.mlp.drop2"} <= set(rates)
    assert set(rates.values()) == {0.12}
