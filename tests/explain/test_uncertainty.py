import pytest
import torch
from tiny_vits import make_images, make_model

from ctxai.errors import InputError
from ctxai.explain import CDAM, AttentionMap, Concept, Contrast, std_over_models
from ctxai.explain.uncertainty import Moments


def models(kind="classifier", count=3):
    """One architecture with other weights."""
    made = []
    for number in range(count):
        model = make_model(kind)
        with torch.random.fork_rng():
            torch.manual_seed(number)
            for parameter in model.parameters():
                parameter.data += 0.05 * torch.randn_like(parameter)
        made.append(model)
    return made


@pytest.mark.parametrize("parts", [[1] * 10, [10], [3, 5, 2]])
def test_moments_in_parts_are_those_of_the_whole(parts):
    values = torch.randn(10, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moments = Moments()
    for part in values.split(parts):
        moments.add(part)
    mean, spread = moments.result()
    torch.testing.assert_close(mean, values.mean(dim=0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(spread, values.std(dim=0, correction=0), rtol=1e-12, atol=1e-12)


def test_a_large_mean_does_not_drown_a_small_spread():
    values = 1e4 + torch.arange(64.0).remainder(2)[:, None]  # squares would need 27 bits more than float32 has
    moments = Moments()
    for part in values.split(4):
        moments.add(part)
    torch.testing.assert_close(moments.result().std, torch.tensor([0.5]))


def test_std_over_models_is_that_of_their_maps():
    methods = [CDAM(model) for model in models()]
    images = make_images(methods[0].model)
    targets = [1, Contrast("margin", "texture"), None]
    maps = torch.stack([method.attribute(images, targets, (8, 8)) for method in methods])
    mean, spread = std_over_models(methods, images, targets, (8, 8))
    torch.testing.assert_close(mean, maps.mean(dim=0))
    torch.testing.assert_close(spread, maps.std(dim=0, correction=0))
    assert spread.max() > 0


def test_one_model_agrees_with_itself():
    model = make_model("vit")
    images = make_images(model)
    mean, spread = std_over_models([CDAM(model)] * 2, images, 1)
    torch.testing.assert_close(mean, CDAM(model).attribute(images, 1))
    assert spread.max() == 0


def test_what_models_do_not_share_is_refused():
    one, other = models(count=2)
    images = make_images(one)
    with pytest.raises(InputError, match="found none"):
        std_over_models([], images)
    with pytest.raises(InputError, match="found attention_map, cdam"):
        std_over_models([CDAM(one), AttentionMap(other)], images, 1)
    with pytest.raises(InputError, match="belongs to one model"):
        std_over_models([CDAM(one), CDAM(other)], images, [0, Concept(torch.zeros(48))])
    with pytest.raises(InputError, match="give an output's index"):
        std_over_models([CDAM(model) for model in models("vit", 2)], make_images(make_model("vit")))


def test_maps_of_other_grids_need_a_size():
    methods = [AttentionMap(make_model("vit")), AttentionMap(make_model("rotary"))]  # patches of 8 and 16 pixels
    images = make_images(make_model("vit"))
    with pytest.raises(InputError, match="maps of one shape"):
        std_over_models(methods, images, 0)
    assert std_over_models(methods, images, 0, size=(8, 8)).mean.shape == (2, 8, 8)
