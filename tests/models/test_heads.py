import math

import pytest
import torch

from ctxai.models.heads import NoduleHeads, malignancy_loss, rating_loss

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
