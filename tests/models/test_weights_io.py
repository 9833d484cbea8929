import argparse
import pickle

import pytest
import torch
from safetensors.torch import save_file

from ctxai.errors import ModelError
from ctxai.models.backbone import make_backbone
from ctxai.models.settings import BackboneConfig

TINY = BackboneConfig(depth=1)
DINOV2 = BackboneConfig("vit_small_patch14_reg4_dinov2", patch_size=None, depth=1)
DINOV3 = BackboneConfig("vit_small_patch16_dinov3_qkvb", patch_size=None, depth=1)


def with_weights(config, weights):
    return BackboneConfig(config.name, config.patch_size, config.depth, weights=weights)


def random_backbone(config, pixels):
    """A backbone with no parameter at zero or one, so that a swapped or forgotten one is seen."""
    model = make_backbone(config, pixels)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def assert_same_features(model, source, pixels):
    image = torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(image), source(image), rtol=1e-5, atol=1e-5)


def test_a_full_dino_checkpoint_gives_its_teacher(tmp_path):
    teacher, student = random_backbone(TINY, 32), make_backbone(TINY, 32)
    head = {"head.mlp.0.weight": torch.zeros(2, 2)}
    torch.save(
        {
            "student": {f"module.backbone.{k}": v for k, v in student.state_dict().items()} | head,
            "teacher": {f"backbone.{k}": v for k, v in teacher.state_dict().items()} | head,
            "epoch": 100,
            "args": argparse.Namespace(arch="vit_small", patch_size=8),
        },
        tmp_path / "full.pth",
    )
    assert_same_features(make_backbone(with_weights(TINY, tmp_path / "full.pth"), 32), teacher, 32)


def test_positions_are_resampled_to_another_grid(tmp_path):
    source = random_backbone(TINY, 32)
    torch.save(source.state_dict(), tmp_path / "dino.pth")
    loaded = make_backbone(with_weights(TINY, tmp_path / "dino.pth"), pixels=48)
    assert torch.equal(loaded.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert loaded.pos_embed.shape == (1, 1 + 36, 192)
    assert torch.equal(loaded.pos_embed[:, 0], source.pos_embed[:, 0])


def test_dinov2s_own_names_and_positions_are_understood(tmp_path):
    source = random_backbone(DINOV2, 42)
    state = dict(source.state_dict())
    of_class = torch.full((1, 1, 384), 0.3)  # DINOv2 adds a position to its class token too
    state["register_tokens"] = state.pop("reg_token")
    state["pos_embed"] = torch.cat([of_class, state["pos_embed"]], dim=1)
    state["cls_token"] = state["cls_token"] - of_class
    torch.save(state | {"mask_token": torch.zeros(1, 384)}, tmp_path / "dinov2.pth")
    assert_same_features(make_backbone(with_weights(DINOV2, tmp_path / "dinov2.pth"), 42), source, 42)


def test_dinov3s_own_names_are_understood(tmp_path, capsys):
    source = random_backbone(DINOV3, 48)
    state = dict(source.state_dict())
    bias = [state.pop(f"blocks.0.attn.{name}_bias") for name in "qv"]
    state["blocks.0.attn.qkv.bias"] = torch.cat([bias[0], torch.zeros(384), bias[1]])
    state["blocks.0.ls1.gamma"] = state.pop("blocks.0.gamma_1")
    state["blocks.0.ls2.gamma"] = state.pop("blocks.0.gamma_2")
    state["storage_tokens"] = state.pop("reg_token")
    state |= {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
    torch.save(state, tmp_path / "dinov3.pth")
    assert_same_features(make_backbone(with_weights(DINOV3, tmp_path / "dinov3.pth"), 48), source, 48)
    assert capsys.readouterr().out == ""


def test_safetensors_load_exactly(tmp_path):
    source = random_backbone(TINY, 32)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    loaded = make_backbone(with_weights(TINY, tmp_path / "weights.safetensors"), 32)
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_a_folder_stands_for_its_weights(tmp_path):
    source = random_backbone(TINY, 32)
    save_file({name: value.half() for name, value in source.state_dict().items()}, tmp_path / "weights.safetensors")
    loaded = make_backbone(with_weights(TINY, tmp_path), 32)
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name


def test_weights_of_the_package_are_called_by_name():
    with pytest.raises(ModelError, match=r"ctxai:absent: expected one of .*ctxai:hybrid_vit_lidc2d"):
        make_backbone(with_weights(TINY, "ctxai:absent"), 32)


def test_weights_that_lack_a_block_are_refused(tmp_path):
    save_file(make_backbone(TINY, pixels=32).state_dict(), tmp_path / "shallow.safetensors")
    with pytest.raises(ModelError, match=r"shallow.safetensors: 12 weights are missing .* first blocks\.1\."):
        make_backbone(BackboneConfig(depth=2, weights=tmp_path / "shallow.safetensors"), pixels=32)


def test_weights_of_another_width_are_refused_in_one_line(tmp_path):
    save_file(make_backbone(TINY, pixels=32).state_dict(), tmp_path / "narrow.safetensors")
    wide = BackboneConfig("vit_small_patch16_224", depth=1, weights=tmp_path / "narrow.safetensors")
    with pytest.raises(ModelError, match=r"narrow.safetensors: weights do not fit this backbone") as refused:
        make_backbone(wide, pixels=32)
    assert "\n" not in str(refused.value)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Payload:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    with (tmp_path / "evil.pth").open("wb") as file:
        pickle.dump(Payload(), file, protocol=2)
    torch.save({"model": Payload()}, tmp_path / "evil.zip.pth")
    for name in ("evil.pth", "evil.zip.pth"):
        with pytest.raises(ModelError, match="nothing is unpickled"):
            make_backbone(with_weights(TINY, tmp_path / name), pixels=32)


@pytest.mark.parametrize("prefix", ["model.", "net.", "_orig_mod.", "model.net._orig_mod.backbone."])
def test_what_stands_before_the_names_does_not_matter(tmp_path, prefix):
    source = random_backbone(TINY, 32)
    state = {f"{prefix}{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(2)}}, tmp_path / "lightning.ckpt")
    assert_same_features(make_backbone(with_weights(TINY, tmp_path / "lightning.ckpt"), 32), source, 32)


def as_transformers(source, prefix=""):
    """Weights of a timm ViT or DINOv2 in the layout of HuggingFace transformers."""
    layers = {
        "norm1": "norm1", "norm2": "norm2", "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1",
        "attn.proj": "attention.output.dense", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
    }  # fmt: skip
    if "blocks.0.ls1.gamma" not in source:
        layers |= {"norm1": "layernorm_before", "norm2": "layernorm_after"}
        layers |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    found = {}
    for name, value in source.items():
        name = name.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            if rest.startswith("attn.qkv"):
                for part, values in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    end = rest.removeprefix("attn.qkv.")
                    found[f"{prefix}encoder.layer.{number}.attention.attention.{part}.{end}"] = values
                continue
            for ours, theirs in layers.items():
                if rest.startswith(ours):
                    rest = rest.replace(ours, theirs)
            name = f"encoder.layer.{number}.{rest}"
        name = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings"}.get(name, name)
        name = name.replace("norm.", "layernorm.") if name.startswith("norm.") else name
        found[prefix + name] = value.clone()
    return found


@pytest.mark.parametrize(
    ("name", "prefix", "more"),
    [
        ("vit_small_patch8_224.dino", "vit.", {"classifier.weight": torch.ones(2, 384)}),
        ("vit_small_patch14_dinov2", "", {"embeddings.mask_token": torch.ones(1, 384)}),
    ],
    ids=["ViT", "DINOv2"],
)
def test_the_names_of_transformers_are_understood(tmp_path, name, prefix, more):
    config = BackboneConfig(name, patch_size=None, depth=1)
    source = random_backbone(config, 56)
    save_file(as_transformers(source.state_dict(), prefix) | more, tmp_path / "model.safetensors")
    assert_same_features(make_backbone(with_weights(config, tmp_path / "model.safetensors"), 56), source, 56)


def test_registers_of_transformers_dinov2_are_understood(tmp_path):
    source = random_backbone(DINOV2, 56)
    state = source.state_dict()
    registers, positions = state.pop("reg_token"), state["pos_embed"]
    first = torch.full((1, 1, 384), 0.25)  # the class token's position, which timm adds to the token
    state |= {"cls_token": state["cls_token"] - first, "pos_embed": torch.cat([first, positions], 1)}
    found = as_transformers(state) | {"embeddings.register_tokens": registers}
    save_file(found | {"embeddings.mask_token": torch.ones(1, 384)}, tmp_path / "model.safetensors")
    assert_same_features(make_backbone(with_weights(DINOV2, tmp_path / "model.safetensors"), 56), source, 56)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"blocks.0.ls1.gamma": torch.ones(192)}, r"1 weights have no place in this backbone, first blocks\.0\.ls1"),
        ({"blocks.0.attn.q_norm.weight": torch.ones(64)}, r"first blocks\.0\.attn\.q_norm"),
        ({"blocks.1.norm1.weight": torch.ones(192)}, r"first blocks\.1\.norm1"),
    ],
    ids=["LayerScale", "QK norm", "another block"],
)
def test_a_part_that_the_backbone_lacks_is_refused_by_name(tmp_path, extra, message):
    torch.save(make_backbone(TINY, 32).state_dict() | extra, tmp_path / "more.pth")
    with pytest.raises(ModelError, match=message):
        make_backbone(with_weights(TINY, tmp_path / "more.pth"), 32)


def test_heads_and_mask_tokens_are_left_out(tmp_path):
    source = random_backbone(TINY, 32)
    more = {"head.weight": torch.ones(3, 192), "head.mlp.0.weight": torch.ones(2), "mask_token": torch.ones(1, 1, 192)}
    torch.save(source.state_dict() | more, tmp_path / "heads.pth")
    assert_same_features(make_backbone(with_weights(TINY, tmp_path / "heads.pth"), 32), source, 32)


def test_a_named_architecture_takes_no_patches_of_another_size(tmp_path):
    torch.save(make_backbone(BackboneConfig(patch_size=8, depth=1), 32).state_dict(), tmp_path / "patch8.pth")
    with pytest.raises(ModelError, match="patches of 8 px, but this backbone has 16 px"):
        make_backbone(BackboneConfig(patch_size=None, depth=1, weights=tmp_path / "patch8.pth"), 32)
    make_backbone(BackboneConfig(patch_size=16, depth=1, weights=tmp_path / "patch8.pth"), 32)


def test_what_a_file_holds_is_said_when_it_is_no_backbone(tmp_path):
    torch.save({"conv1.weight": torch.ones(2), "fc.bias": torch.ones(2)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match=r"no vision transformer .* found conv1\.weight, fc\.bias"):
        make_backbone(with_weights(TINY, tmp_path / "resnet.pth"), 32)
