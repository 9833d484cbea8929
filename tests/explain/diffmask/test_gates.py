import pytest
import torch
from tiny_vits import KINDS, make_images, make_model, record, vit_of

from ctxai.explain.diffmask.gates import Gates, hidden_states, run_masked
from ctxai.explain.network import Network


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_begin_with_the_bare_patch_embeddings(kind):
    model = make_model(kind)
    images = make_images(model)
    vit = vit_of(model)
    readout, states = hidden_states(Network(model), images)
    torch.testing.assert_close(readout.outputs, model(images))
    assert len(states) == len(vit.blocks) + 2
    assert {state.shape for state in states} == {states[0].shape}
    pixels = (images - 0.1) / 0.9 if model is not vit else images
    patches = vit.patch_embed(pixels).flatten(1, -2)
    torch.testing.assert_close(states[0][:, vit.num_prefix_tokens :], patches)
    for state, own in zip(states[1:], record(model, images[0]).tokens, strict=True):
        torch.testing.assert_close(state[0], own[0])
    if vit.num_prefix_tokens:
        torch.testing.assert_close(states[0][:, :1], vit.cls_token.expand(2, 1, -1))


@pytest.mark.parametrize("kind", ["vit", "registers", "rotary", "distilled"])
def test_masking_everything_answers_alike_for_all_images(kind):
    model = make_model(kind)
    images = make_images(model)
    network = Network(model)
    n = hidden_states(network, images)[1][0].shape[1]
    placeholder = torch.full((48,), 0.3, dtype=torch.float64)
    kept = run_masked(network, images, torch.ones(2, n, dtype=torch.float64), placeholder)
    torch.testing.assert_close(kept.outputs, model(images))
    hidden = run_masked(network, images, torch.zeros(2, n, dtype=torch.float64), placeholder).outputs
    torch.testing.assert_close(hidden[0], hidden[1])


def test_only_the_masked_patch_is_replaced_by_the_placeholder():
    model = make_model("vit")
    images = make_images(model)
    keep = torch.ones(2, 17, dtype=torch.float64)
    keep[:, 0], keep[0, 5] = 0, 0.25  # the class token's gate does not count
    placeholder = torch.randn(48, dtype=torch.float64)
    patches = model.patch_embed(images)
    patches[0, 4] = 0.25 * patches[0, 4] + 0.75 * placeholder
    expected = model.forward_head(model.norm(model.blocks(model._pos_embed(patches))))
    torch.testing.assert_close(run_masked(Network(model), images, keep, placeholder).outputs, expected)


def test_logits_follow_their_equation():
    torch.manual_seed(0)
    gates = Gates(8, 3, scale=15.0, offset=8.0)
    states = [torch.randn(2, 5, 8) for _ in range(3)]
    gates.offsets[1].data.fill_(2.0)
    pair = torch.cat([states[0], states[1]], dim=-1)
    first, second = gates.layers[1][0], gates.layers[1][2]
    expected = 15 * torch.tanh(torch.tanh(pair @ first.weight.T + first.bias) @ second.weight.T + second.bias) + 2
    torch.testing.assert_close(gates.logits(states)[1], expected[..., 0])
    assert gates.logits(states[:2]).shape == (2, 2, 5)
