import pytest
import torch

from ctxai.errors import InputError
from ctxai.models.backbone import make_backbone
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.finetuning import prepare_backbone
from ctxai.models.settings import BackboneConfig, OptimConfig, TuneConfig


def learning(**options):
    """First parts of the names of the parameters that learn."""
    backbone = make_backbone(BackboneConfig(depth=3), 16)
    prepare_backbone(backbone, TuneConfig(**options))
    names = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    return {".".join(name.split(".")[:2]) if name.startswith("blocks") else name.split(".")[0] for name in names}


def test_without_options_everything_learns():
    assert learning() == {"cls_token", "pos_embed", "patch_embed", "blocks.0", "blocks.1", "blocks.2", "norm"}


def test_no_blocks_leave_the_heads_alone():
    assert learning(blocks=0) == set()


def test_the_last_blocks_learn_with_the_final_norm():
    assert learning(blocks=2) == {"blocks.1", "blocks.2", "norm"}


def test_adapters_learn_in_the_asked_blocks_and_nothing_else():
    backbone = make_backbone(BackboneConfig(depth=3), 16)
    prepare_backbone(backbone, TuneConfig(blocks=2, lora_rank=4))
    names = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    layers = [f"blocks.{block}.attn.{layer}" for block in (1, 2) for layer in ("qkv", "proj")]
    assert names == {f"{layer}.{factor}" for layer in layers for factor in ("down", "up")}


def test_frozen_parts_are_the_ones_without_dropout():
    backbone = make_backbone(BackboneConfig(depth=3, drop_path_rate=0.5), 16)
    frozen = prepare_backbone(backbone, TuneConfig(blocks=1))
    assert backbone.blocks[0] in frozen and backbone.blocks[1] in frozen
    assert backbone.blocks[2] not in frozen and backbone.norm not in frozen
    assert not prepare_backbone(make_backbone(BackboneConfig(depth=3), 16), TuneConfig())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 4}, "blocks is 4, but the backbone has 3"),
        ({"blocks": -1}, "cannot be negative"),
        ({"blocks": 0, "lora_rank": 2}, "need blocks to sit in"),
        ({"layer_decay": 0.0}, "layer_decay is 0, expected above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        prepare_backbone(make_backbone(BackboneConfig(depth=3), 16), TuneConfig(**options))


def test_a_frozen_backbone_gives_the_same_embedding_while_training():
    torch.manual_seed(0)  # dropping all both times is rare, but it happens
    config = BackboneConfig(depth=2, drop_path_rate=0.9)
    images = torch.randn(8, 3, 16, 16)
    probe = NoduleClassifier(config, 16, OptimConfig(), tune=TuneConfig(blocks=0)).train()
    assert torch.equal(probe.backbone(images), probe.backbone(images))
    whole = NoduleClassifier(config, 16, OptimConfig()).train()
    assert not torch.equal(whole.backbone(images), whole.backbone(images))
