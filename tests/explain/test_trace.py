"""The recomputed attention against the modules' own."""

import pytest
import torch
from tiny_vits import KINDS, make_images, make_model, record

from ctxai.explain.network import Network
from ctxai.explain.trace import trace


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_trace_sees_what_the_modules_compute(kind, gradients):
    model = make_model(kind)
    images = make_images(model, 1)
    network = Network(model)
    traced = trace(network, images, gradients=gradients)
    own = record(model, images[0])
    torch.testing.assert_close(traced.readout.outputs[0], own.outputs)
    for index, block in enumerate(traced.blocks):
        torch.testing.assert_close(block.weights(), own.attention[index])
        torch.testing.assert_close(block.weights(1), own.attention[index][:, :, :1])
        torch.testing.assert_close(block.scores().softmax(dim=-1), own.attention[index])
        torch.testing.assert_close(block.tokens, own.tokens[index])
        torch.testing.assert_close(block.middle, own.middle[index])
        torch.testing.assert_close(block.leaving, own.tokens[index + 1])
        torch.testing.assert_close(block.normed, own.normed[index])
        assert (block.explicit_attention is not None) == gradients


@pytest.mark.parametrize("kind", ["vit", "rotary", "pooled"])
def test_attention_gradients_are_those_of_the_plain_model(kind):
    model = make_model(kind)
    images = make_images(model, 1)
    traced = trace(Network(model), images, gradients=True)
    own = record(model, images[0])
    with torch.enable_grad():
        explained = traced.readout.outputs[:, [0, 3]].T
    expected = [torch.autograd.grad(own.outputs[target], own.attention, retain_graph=True) for target in (0, 3)]
    for ours, theirs in zip(traced.attention_gradients(explained), expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)


def test_tracing_can_begin_at_a_later_block():
    model = make_model("vit")
    assert len(trace(Network(model), make_images(model), first=-1).blocks) == 1
    assert len(trace(Network(model), make_images(model), first=1).blocks) == 2
