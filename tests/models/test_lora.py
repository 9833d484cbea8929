import pytest
import torch
from torch import nn

from ctxai.models.backbone import make_backbone
from ctxai.models.lora import LoRALinear, add_lora, merge_lora
from ctxai.models.settings import BackboneConfig


@pytest.fixture
def adapted():
    layer = LoRALinear(nn.Linear(6, 4), rank=2, alpha=4.0)
    with torch.no_grad():
        layer.up.normal_()
    return layer


def test_an_adapter_starts_as_the_layer_it_sits_on():
    base = nn.Linear(6, 4)
    inputs = torch.randn(3, 6)
    expected = base(inputs)
    assert torch.equal(LoRALinear(base, rank=2, alpha=16.0)(inputs), expected)


def test_the_update_is_the_scaled_product_of_its_factors(adapted):
    inputs = torch.randn(3, 6)
    expected = inputs @ (adapted.base.weight + 2.0 * adapted.up @ adapted.down).T + adapted.base.bias
    torch.testing.assert_close(adapted(inputs), expected)


def test_only_the_adapter_learns(adapted):
    assert {name for name, parameter in adapted.named_parameters() if parameter.requires_grad} == {"down", "up"}


def test_a_merged_backbone_is_plain_and_computes_the_same():
    plain = make_backbone(BackboneConfig(depth=2), 16)
    names = list(plain.state_dict())
    for block in plain.blocks:
        add_lora(block, rank=2, alpha=4.0)
    with torch.no_grad():
        for module in plain.modules():
            if isinstance(module, LoRALinear):
                module.up.normal_(std=0.1)
    images = torch.randn(2, 3, 16, 16)
    plain.eval()
    expected = plain(images)
    assert sum(isinstance(module, LoRALinear) for module in plain.modules()) == 4
    merge_lora(plain)
    assert list(plain.state_dict()) == names
    torch.testing.assert_close(plain(images), expected)
