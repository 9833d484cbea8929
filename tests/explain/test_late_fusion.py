"""Models that read the image outside of their transformer."""

import pytest
import torch
from tiny_vits import TINY, make_images, make_model
from torch import nn

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


def test_cdam_is_token_times_gradient_of_each_image(model):
    images = images_of(model)
    kept = []
    handle = model.vit.blocks[-1].norm1.register_forward_hook(
        lambda module, inputs, output: kept.append(output) or output.retain_grad()
    )
    model(images)[:, 1].sum().backward()
    handle.remove()
    expected = (kept[0] * kept[0].grad).sum(dim=-1)[:, 1:].unflatten(1, (4, 4))
    torch.testing.assert_close(CDAM(model).attribute(images, 1), expected, rtol=1e-9, atol=1e-9)
