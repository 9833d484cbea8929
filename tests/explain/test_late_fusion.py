"""Models that read the image outside of their transformer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vits import TINY, make_images, make_model
from torch import nn

from ctxai.errors import InputError
from ctxai.explain import CDAM, get_method, list_methods

ON_TOKENS = [
    name
    for name in list_methods()
    if get_method(name).resolution == "patch" and "training" not in get_method(name).needs
]


class LateFusion(nn.Module):
    """The class token beside the image's mean intensities, or gated by them."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.vit = make_model("vit")
        self.vit.head = nn.Identity()
        self.gated = gated
        self.head = nn.Sequential(nn.Linear(TINY["embed_dim"] + 3, 16), nn.Tanh(), nn.Linear(16, 5)).double()

    def forward(self, images):
        features, seen = self.vit(images), images.mean(dim=(2, 3))
        if self.gated:
            features = features * seen[:, :1].sigmoid() * 2
        return self.head(torch.cat([features, 5 * seen], dim=1))


@pytest.fixture(params=[False, True], ids=["beside", "gated"])
def model(request):
    torch.manual_seed(3)
    return LateFusion(request.param).eval()


def images_of(model):
    images = make_images(model.vit, 3)
    return images + torch.tensor([-1.0, 0.0, 1.0], dtype=images.dtype)[:, None, None, None]


@pytest.mark.parametrize("name", ON_TOKENS)
def test_a_map_does_not_depend_on_its_neighbours(model, name):
    method, images = get_method(name)(model), images_of(model)
    together = method.attribute(images, [0, 1])
    alone = torch.cat([method.attribute(image[None], [0, 1]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9 * float(alone.abs().max()))


def token_times_gradient(model, images):
    """Vanilla CDAM of the second output by its equation: last block's normalised tokens times their gradient."""
    kept = []
    handle = model.vit.blocks[-1].norm1.register_forward_hook(
        lambda module, inputs, output: kept.append(output) or output.retain_grad()
    )
    model(images)[:, 1].sum().backward()
    handle.remove()
    return (kept[0] * kept[0].grad).sum(dim=-1)[:, 1:].unflatten(1, (4, 4))


def test_cdam_is_token_times_gradient_of_each_image(model):
    images = images_of(model)
    expected = token_times_gradient(model, images)
    torch.testing.assert_close(CDAM(model).attribute(images, 1), expected, rtol=1e-9, atol=1e-9)


class Reader(nn.Module):
    """A model that reads the image in several ways outside of its transformer."""

    WAYS = ("mean", "spread", "centre", "filters", "gate", "rank")

    def __init__(self, ways: tuple[str, ...], tokens: bool, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.vit = make_model("vit")
        self.ways, self.tokens = ways, tokens
        self.filters = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.LazyLinear(5)
        self.double()
        self(make_images(self.vit, 2))

    def forward(self, images):
        features = self.vit.forward_features(images)
        features = features[:, 1:].mean(dim=1) * features[:, 0] if self.tokens else features[:, 0]
        parts = [features]
        if "mean" in self.ways:
            parts.append(3 * images.mean(dim=(2, 3)))
        if "spread" in self.ways:
            parts.append(3 * images.std(dim=(2, 3)))
        if "centre" in self.ways:
            parts.append(images[:, :, 8:10, 8:10].flatten(1))
        if "filters" in self.ways:
            parts.append(self.filters(images))
        if "rank" in self.ways:
            parts.append(images.flatten(1).topk(4).values)
        if "gate" in self.ways:
            parts[0] = parts[0] * images.mean(dim=(1, 2, 3), keepdim=True).flatten(1).sigmoid()
        return self.head(torch.cat(parts, dim=1))


@settings(max_examples=12, deadline=None)
@given(
    ways=st.lists(st.sampled_from(Reader.WAYS), min_size=1, max_size=4, unique=True).map(tuple),
    tokens=st.booleans(),
    seed=st.integers(0, 99),
    name=st.sampled_from(sorted(set(ON_TOKENS) - {"kernel_shap", "lime", "occlusion"})),
)
def test_whatever_reads_the_image_each_map_is_that_of_its_image_alone(ways, tokens, seed, name):
    model = Reader(ways, tokens, seed).eval()
    images = images_of(model)
    try:
        together = get_method(name)(model).attribute(images, [0, 1])
    except InputError as error:  # a method of attention refuses a read-out that it does not know
        assert "\n" not in str(error)
        return
    alone = torch.cat([get_method(name)(model).attribute(image[None], [0, 1]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-8, atol=1e-8 * float(alone.abs().max()))
    if name == "cdam":
        expected = token_times_gradient(model, images)
        torch.testing.assert_close(together[:, 1], expected, rtol=1e-8, atol=1e-9)
