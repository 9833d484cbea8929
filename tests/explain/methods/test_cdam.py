"""CDAM against its definition, written with hooks on the unchanged model."""

import pytest
import torch
from tiny_vits import KINDS, as_grid, check_contract, make_images, make_model, vit_of
from torch import Tensor, nn

from ctxai.explain import CDAM, Concept


def naive_cdam(model: nn.Module, images: Tensor, target) -> Tensor:
    """Token times gradient at the last block's first norm, one full backward pass per image."""
    vit = vit_of(model)
    maps = []
    for position, image in enumerate(images):
        kept = []
        hook = vit.blocks[-1].norm1.register_forward_hook(lambda module, inputs, output, kept=kept: kept.append(output))
        try:
            if isinstance(target, Concept):
                pooled = vit.forward_head(vit.forward_features(image[None]), pre_logits=True)
                value = (pooled @ target.vector).sum()
            else:
                value = model(image[None])[0, int(torch.as_tensor(target).expand(len(images))[position])]
        finally:
            hook.remove()
        gradient = torch.autograd.grad(value, kept[0])[0]
        maps.append(as_grid(model, (kept[0] * gradient).sum(dim=-1)[0]))
    return torch.stack(maps)


@pytest.mark.parametrize("kind", KINDS)
def test_cdam_is_token_times_gradient_for_every_kind_of_model(kind):
    model = make_model(kind)
    images = make_images(model)
    expected = naive_cdam(model, images, 2)
    maps = CDAM(model).attribute(images, 2)
    assert expected.abs().max() > 1e-6
    torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", ["vit", "rotary with biases", "pooled"])
def test_cdam_in_single_precision_is_within_a_ten_thousandth(kind):
    expected = naive_cdam(make_model(kind), make_images(make_model(kind)), 2)
    model = make_model(kind, torch.float32)
    maps = CDAM(model).attribute(make_images(model), 2)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", ["vit", "pooled", "query and key norm"])
def test_many_targets_at_once_are_the_maps_one_by_one(kind):
    model = make_model(kind)
    images = make_images(model, 3)
    together = CDAM(model).attribute(images, list(range(5)))
    for target in range(5):
        torch.testing.assert_close(together[:, target], naive_cdam(model, images, target), rtol=1e-9, atol=1e-9)


def test_map_of_a_difference_of_outputs_is_the_difference_of_the_maps():
    model = make_model("vit")
    images = make_images(model)
    maps = CDAM(model).attribute(images, (0, 3, lambda outputs: outputs[:, 0] - outputs[:, 3]))
    torch.testing.assert_close(maps[:, 2], maps[:, 0] - maps[:, 1], rtol=1e-9, atol=1e-9)


def test_without_a_target_each_image_is_explained_for_its_largest_output():
    model = make_model("vit")
    images = make_images(model, 4)
    largest = model(images).argmax(dim=1)
    assert len(set(largest.tolist())) > 1
    torch.testing.assert_close(CDAM(model).attribute(images), naive_cdam(model, images, largest))


def test_concept_map_is_token_times_gradient_of_the_dot_product():
    model = make_model("classifier")
    images = make_images(model)
    concept = Concept.from_images(model, make_images(model, 2, seed=5))
    maps = CDAM(model).attribute(images, [concept, 0])
    with torch.no_grad():
        images = (images - 0.1) / 0.9
    torch.testing.assert_close(maps[:, 0], naive_cdam(model, images, concept), rtol=1e-9, atol=1e-9)


def test_cdam_keeps_the_contract():
    check_contract(CDAM)
