import math

import pytest
import torch

from ctxai.models.heads import NoduleHeads, masked_loss


def test_heads_give_the_logit_first_then_eight_biomarkers():
    heads = NoduleHeads(4)
    embedding = torch.randn(3, 4)
    outputs = heads(embedding)
    assert outputs.shape == (3, 9)
    torch.testing.assert_close(outputs[:, :1], heads.malignancy(embedding))


def test_the_loss_is_cross_entropy_plus_weighted_huber():
    outputs = torch.zeros(2, 9)
    outputs[0, 1] = 3.0  # Huber of 3 with delta 1 is 2.5, of 0.5 is 0.125
    outputs[1, 1] = 0.5
    targets = torch.zeros(2, 9)
    targets[:, 0] = torch.tensor([0.25, 1.0])
    expected = math.log(2) + 0.5 * (2.5 + 0.125) / 16
    assert float(masked_loss(outputs, targets, 0.5)) == pytest.approx(expected)


def test_missing_labels_change_neither_loss_nor_gradient():
    outputs = torch.randn(4, 9, requires_grad=True)
    targets = torch.rand(4, 9)
    targets[1] = float("nan")
    loss = masked_loss(outputs, targets, 1.0)
    loss.backward()
    torch.testing.assert_close(loss, masked_loss(outputs[[0, 2, 3]], targets[[0, 2, 3]], 1.0))
    assert (outputs.grad[1] == 0).all() and torch.isfinite(outputs.grad).all()


def test_a_batch_without_any_label_has_no_loss():
    assert float(masked_loss(torch.randn(2, 9), torch.full((2, 9), float("nan")), 1.0)) == 0
