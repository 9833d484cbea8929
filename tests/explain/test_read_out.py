"""Which tokens a model's read-out depends on."""

import pytest
import torch
from tiny_vits import make_images, make_model
from torch import nn

from ctxai.explain import CDAM
from ctxai.explain.network import Network


class ReadOut(nn.Module):
    """A head of one's own over the tokens of a transformer."""

    def __init__(self, head) -> None:
        super().__init__()
        self.vit = make_model("vit")
        self.head = head
        torch.manual_seed(2)
        self.weight = nn.Parameter(torch.randn(48, 5, dtype=torch.float64))

    def forward(self, images):
        return self.head(self.vit.forward_features(images), self.weight)


def cleans_nan(tokens, weight):
    return torch.nan_to_num(tokens.mean(dim=1) - tokens[:, 0]) @ weight


def median(tokens, weight):
    return tokens.median(dim=1).values @ weight


def softmax(tokens, weight):
    return (tokens.mean(dim=1) @ weight).softmax(dim=1)


def largest(tokens, weight):
    return tokens.amax(dim=1) @ weight


def one_patch(tokens, weight):
    return tokens[:, 7] @ weight


def cut_off(tokens, weight):
    return (tokens[:, 1:].mean(dim=1) @ weight).clamp(min=0)


def class_token(tokens, weight):
    return torch.nan_to_num(tokens[:, 0]) @ weight


@pytest.mark.parametrize("head", [cleans_nan, median, softmax, largest, one_patch, cut_off, class_token])
def test_cdam_is_token_times_gradient_whatever_the_head_reads(head):
    model = ReadOut(head).eval()
    images = make_images(model.vit)
    kept = []
    handle = model.vit.blocks[-1].norm1.register_forward_hook(
        lambda module, inputs, output: kept.append(output) or output.retain_grad()
    )
    model(images)[:, 1].sum().backward()
    handle.remove()
    expected = (kept[0] * kept[0].grad).sum(dim=-1)[:, 1:].unflatten(1, (4, 4))
    torch.testing.assert_close(CDAM(model).attribute(images, 1), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("head", "rows"), [(class_token, 1), (cleans_nan, 17), (softmax, 17)])
def test_the_number_of_tokens_that_are_read_is_found(head, rows):
    model = ReadOut(head).eval()
    images = make_images(model.vit)
    network = Network(model)
    assert network.rows_read(network.run(images).features, images) == rows
