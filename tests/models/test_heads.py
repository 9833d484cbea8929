import math

import pytest
import torch

from ctxai.data.outline_features import OUTLINE_FEATURES
from ctxai.errors import InputError
from ctxai.models.heads import (
    AuxiliaryHeads,
    HeadsConfig,
    NoduleHeads,
    OrdinalHeads,
    malignancy_loss,
    rating_loss,
    share_loss,
)

EQUAL = (1.0, 1.0)
NAN = float("nan")


def test_heads_give_the_malignancy_first_then_eight_biomarkers():
    heads = NoduleHeads(4)
    embedding = torch.randn(3, 4)
    outputs = heads(embedding)
    assert outputs.shape == (3, 9)
    torch.testing.assert_close(outputs[:, :1], heads.malignancy(embedding))


def test_heads_of_some_targets_have_no_others():
    embedding = torch.randn(3, 4)
    assert NoduleHeads(4, ["malignancy"])(embedding).shape == (3, 1)
    apart = NoduleHeads(4, ["margin", "texture"])
    assert apart.malignancy is None and apart(embedding).shape == (3, 2)


def test_the_malignancy_loss_is_cross_entropy_with_soft_labels():
    outputs, targets = torch.tensor([0.0, 2.0]), torch.tensor([0.25, 1.0])
    expected = (math.log(2) + math.log1p(math.exp(-2.0))) / 2
    assert float(malignancy_loss(outputs, targets, EQUAL)) == pytest.approx(expected)


def test_class_weights_count_by_the_parts_of_a_soft_label():
    outputs, targets = torch.tensor([0.0, 3.0, -1.0]), torch.tensor([0.0, 1.0, 0.5])
    losses = [float(malignancy_loss(outputs[i : i + 1], targets[i : i + 1], EQUAL)) for i in range(3)]
    expected = (0.5 * losses[0] + 2.0 * losses[1] + 1.25 * losses[2]) / (0.5 + 2.0 + 1.25)
    assert float(malignancy_loss(outputs, targets, (0.5, 2.0))) == pytest.approx(expected)


def test_the_rating_loss_is_huber_with_the_given_delta():
    errors = torch.tensor([[3.0, 0.5]])
    assert float(rating_loss(errors, torch.zeros(1, 2), 1.0)) == pytest.approx((2.5 + 0.125) / 2)
    assert float(rating_loss(errors, torch.zeros(1, 2), 0.5)) == pytest.approx((0.5 * (3 - 0.25) + 0.125) / 2)


@pytest.mark.parametrize("loss", [lambda o, t: malignancy_loss(o, t, (0.3, 0.7)), lambda o, t: rating_loss(o, t, 1.0)])
def test_missing_labels_change_neither_loss_nor_gradient(loss):
    outputs = torch.randn(4, requires_grad=True)
    targets = torch.rand(4)
    targets[1] = NAN
    value = loss(outputs, targets)
    value.backward()
    torch.testing.assert_close(value, loss(outputs[[0, 2, 3]], targets[[0, 2, 3]]))
    assert outputs.grad[1] == 0 and torch.isfinite(outputs.grad).all()


def test_a_batch_without_any_label_has_no_loss():
    nothing = torch.full((2,), NAN)
    assert float(malignancy_loss(torch.randn(2), nothing, EQUAL)) == 0
    assert float(rating_loss(torch.randn(2), nothing, 1.0, weights=nothing)) == 0


def ordinal_heads(**options):
    torch.manual_seed(0)
    return OrdinalHeads(8, ("malignancy", "texture"), HeadsConfig(readout="ordinal", **options)).eval()


def test_ordinal_heads_read_malignancy_as_the_mean_of_four_cumulative_logits():
    heads, embedding = ordinal_heads(), torch.randn(3, 8)
    outputs, cumulative = heads.read(heads.trunk(embedding))
    assert outputs.shape == (3, 2) and cumulative.shape == (3, 4)
    torch.testing.assert_close(outputs[:, 0], cumulative.mean(1))
    assert torch.equal(outputs, heads(embedding))


def test_ordinal_heads_need_malignancy():
    with pytest.raises(InputError, match="malignancy"):
        OrdinalHeads(8, ("texture",), HeadsConfig(readout="ordinal"))


def test_the_share_loss_weighs_nodules_and_leaves_out_what_is_unknown():
    logits, shares = torch.randn(2, 4), torch.rand(2, 4)
    first, second = (float(share_loss(logits[i : i + 1], shares[i : i + 1], torch.ones(1))) for i in range(2))
    both = float(share_loss(logits, shares, torch.tensor([1.0, 3.0])))
    assert both == pytest.approx((first + 3 * second) / 4)
    shares[1] = NAN
    assert float(share_loss(logits, shares, torch.tensor([1.0, 3.0]))) == pytest.approx(first)


def test_each_token_tells_of_its_own_quarters():
    heads = AuxiliaryHeads(8, (2, 3), HeadsConfig(outline=1.0))
    patches = torch.zeros(1, 6, 8)
    patches[0, 4] = torch.randn(8)  # the token of the second row and column
    logits = heads.outline_logits(patches)
    assert logits.shape == (1, 4, 6)
    other = logits[0] != heads.outline_logits(torch.zeros(1, 6, 8))[0]
    assert other[2:4, 2:4].all() and int(other.sum()) == 4


def test_every_auxiliary_head_adds_its_weighted_loss():
    embedding, patches = torch.randn(2, 8), torch.randn(2, 4, 8)
    targets = {"shares": torch.rand(2, 4), "weight": torch.ones(2), "outline": torch.rand(2, 4, 4)}
    targets["features"] = torch.randn(2, len(OUTLINE_FEATURES))
    torch.manual_seed(0)
    heads = AuxiliaryHeads(8, (2, 2), HeadsConfig(soft=1.0, rank=2.0, outline=3.0, features=4.0))
    total = heads.loss(embedding, patches, targets).item()
    parts = 0.0
    for name in ("soft", "rank", "outline", "features"):
        one = AuxiliaryHeads(8, (2, 2), HeadsConfig(**{name: getattr(heads.config, name)}))
        one.load_state_dict(heads.state_dict(), strict=False)
        parts += one.loss(embedding, patches, targets).item()
    assert total == pytest.approx(parts, rel=1e-5)


def test_impossible_heads_are_refused():
    with pytest.raises(InputError, match="heads:"):
        HeadsConfig(outline=-1.0)
