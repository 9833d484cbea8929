import pickle

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from ctxai.errors import ModelError
from ctxai.models.backbone import BackboneConfig, make_backbone

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


@pytest.mark.parametrize("wrapped", [False, True])
def test_dino_checkpoints_load_with_positions_resampled_to_another_grid(tmp_path, wrapped):
    source = make_backbone(TINY, pixels=32)
    state = source.state_dict()
    if wrapped:
        state = {"teacher": {f"module.backbone.{k}": v for k, v in state.items()}, "epoch": 3}
    torch.save(state, tmp_path / "dino.pth")
    loaded = make_backbone(BackboneConfig(depth=1, weights=tmp_path / "dino.pth"), pixels=48)
    assert torch.equal(loaded.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert loaded.pos_embed.shape == (1, 1 + 36, 192)
    assert torch.equal(loaded.pos_embed[:, 0], source.pos_embed[:, 0])


def test_safetensors_load_exactly(tmp_path):
    source = make_backbone(TINY, pixels=32)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    loaded = make_backbone(BackboneConfig(depth=1, weights=tmp_path / "weights.safetensors"), pixels=32)
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_weights_that_lack_a_block_are_refused(tmp_path):
    save_file(make_backbone(TINY, pixels=32).state_dict(), tmp_path / "shallow.safetensors")
    with pytest.raises(ModelError, match=r"shallow.safetensors: 12 weights are missing .* first blocks\.1\."):
        make_backbone(BackboneConfig(depth=2, weights=tmp_path / "shallow.safetensors"), pixels=32)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Payload:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    with (tmp_path / "evil.pth").open("wb") as file:
        pickle.dump(Payload(), file, protocol=2)
    torch.save({"model": Payload()}, tmp_path / "evil.zip.pth")
    for name in ("evil.pth", "evil.zip.pth"):
        with pytest.raises(ModelError, match="nothing is unpickled"):
            make_backbone(BackboneConfig(depth=1, weights=tmp_path / name), pixels=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "no_such_model"}, "not one of timm's vision transformers"),
        ({"name": "resnet18", "patch_size": None}, "not one of timm's vision transformers"),
        ({"patch_size": 7}, "not a multiple of its 7 px patches"),
        ({"weights": "absent.pth"}, "no such weights file"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(options, message):
    with pytest.raises(ModelError, match=message) as refused:
        make_backbone(BackboneConfig(**({"depth": 1 if "name" not in options else None} | options)), pixels=32)
    assert "\n" not in str(refused.value)


def test_without_a_network_the_published_weights_are_missed_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "absent")
    with pytest.raises(
        ModelError, match=r"cannot be downloaded .*; give backbone\.weights a checkpoint file"
    ) as refused:
        make_backbone(BackboneConfig("vit_tiny_patch16_224", patch_size=None, depth=1, pretrained=True), pixels=32)
    assert "\n" not in str(refused.value)
