import torch
from tiny_vits import check_contract, make_images, make_model

from ctxai.explain import RandomMap


def test_random_maps_are_uniform_and_differ_between_images_and_seeds():
    model = make_model("vit")
    images = make_images(model, 200)
    maps = RandomMap(model).attribute(images, 0)
    assert 0 <= maps.min() < 0.01
    assert 0.99 < maps.max() < 1
    assert abs(maps.mean() - 0.5) < 0.02
    assert len(maps.flatten(1).unique(dim=0)) == 200
    assert not torch.equal(maps, RandomMap(model, seed=1).attribute(images, 0))
    assert torch.equal(maps, RandomMap(model).attribute(images, 3))


def test_random_map_keeps_the_contract():
    check_contract(RandomMap)
