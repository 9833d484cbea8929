import pytest
import torch

from ctxai.explain.diffmask.hard_concrete import log_open, sample


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.5])
def test_the_share_of_open_gates_is_the_stated_probability(logit):
    torch.manual_seed(0)
    logits = torch.full((200_000,), logit, dtype=torch.float64)
    open_share = (sample(logits) > 0).double().mean()
    assert open_share == pytest.approx(float(log_open(logits[0]).exp()), abs=0.005)


def test_an_even_logit_is_open_with_the_probability_that_the_constants_give():
    assert float(log_open(torch.tensor(0.0)).exp()) == pytest.approx(1 / (1 + 0.2**0.2), rel=1e-6)


def test_gates_lie_between_zero_and_one_and_pass_gradients():
    torch.manual_seed(0)
    logits = torch.zeros(1000, requires_grad=True)
    gates = sample(logits)
    assert gates.min() == 0
    assert gates.max() <= 1
    gates.sum().backward()
    assert (logits.grad >= 0).all()
    assert logits.grad.any()
