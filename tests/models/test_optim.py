import math

import pytest
import torch
from timm.optim import param_groups_layer_decay

from ctxai.errors import InputError
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.optim import make_optimizer, parameter_groups, rate_factor
from ctxai.models.settings import BackboneConfig, OptimConfig, ScheduleConfig

STEPS = 40


def rates(**schedule):
    factor = rate_factor(OptimConfig(warmup_fraction=0.1, schedule=ScheduleConfig(**schedule)), STEPS)
    return [factor(step) for step in range(STEPS)]


@pytest.fixture(scope="module")
def model():
    return NoduleClassifier(BackboneConfig(depth=3), 16, OptimConfig())


def test_the_cosine_rises_for_its_warm_up_and_falls_to_zero():
    found = rates(kind="cosine")
    assert found[:4] == [0.25, 0.5, 0.75, 1.0]
    assert found[4] == 1.0 and found[22] == pytest.approx(0.5)
    assert found[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 35 / 36)))


def test_the_cycles_are_those_of_torchs_triangular2():
    found = rates(kind="cyclic", cycles=4, divisor=100.0)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 0.01, 1.0, step_size_up=5, step_size_down=15, mode="triangular2", cycle_momentum=False
    )
    for rate in found:
        assert rate == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_drops_divide_by_ten_and_constant_stays():
    found = rates(kind="drops", drops=(0.4, 0.8))
    assert (found[15], found[16], found[31]) == pytest.approx((1.0, 0.1, 0.1))
    assert found[32] == pytest.approx(0.01)
    assert set(rates(kind="constant")) == {1.0}


def test_biases_norms_tokens_and_positions_do_not_decay(model):
    groups = parameter_groups(model, model.backbone, OptimConfig(weight_decay=0.05))
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert {group["lr"] for group in groups} == {OptimConfig().learning_rate}
    still = {id(parameter) for parameter in groups[1]["params"]}
    for parameter in (model.backbone.cls_token, model.backbone.pos_embed, model.heads.malignancy.bias):
        assert id(parameter) in still
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_the_rate_falls_with_the_distance_from_the_heads_as_timm_has_it(model):
    ours = parameter_groups(model, model.backbone, OptimConfig(learning_rate=1.0), layer_decay=0.5)
    rate_of = {id(parameter): group["lr"] for group in ours for parameter in group["params"]}
    names = {id(parameter): name for name, parameter in model.backbone.named_parameters()}
    for group in param_groups_layer_decay(model.backbone, layer_decay=0.5):
        for parameter in group["params"]:
            # timm's backbone has no head here, and its final norm goes with the last block.
            norm = names[id(parameter)].startswith("norm.")
            assert rate_of[id(parameter)] == (1.0 if norm else 0.5 * group["lr_scale"])
    assert rate_of[id(model.heads.malignancy.weight)] == 1.0
    assert rate_of[id(model.backbone.cls_token)] == 0.5**4


def test_parameters_that_do_not_learn_are_left_out(model):
    model.backbone.requires_grad_(False)
    groups = parameter_groups(model, model.backbone, OptimConfig())
    model.backbone.requires_grad_(True)
    assert sum(len(group["params"]) for group in groups) == len(list(model.heads.parameters()))


def test_betas_and_schedule_reach_the_optimiser(model):
    config = OptimConfig(betas=(0.8, 0.9), learning_rate=2.0, schedule=ScheduleConfig("cyclic", cycles=1, divisor=10))
    found = make_optimizer(parameter_groups(model, model.backbone, config), config, STEPS)
    assert found["optimizer"].defaults["betas"] == (0.8, 0.9)
    assert found["lr_scheduler"]["interval"] == "step"
    assert found["optimizer"].param_groups[0]["lr"] == pytest.approx(0.2)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}])
def test_a_budget_of_nothing_is_refused(wrong):
    with pytest.raises(InputError, match="have to be positive"):
        OptimConfig(**wrong)
