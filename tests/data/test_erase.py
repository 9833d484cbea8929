import numpy as np
import pytest
import torch

from ctxai.data.erase import EraseConfig, erase, lung_mean
from ctxai.data.views import ViewConfig
from ctxai.errors import InputError

VIEWS = ViewConfig(views=("axial",), pixels=64)


def image():
    hu = np.full((64, 64), -850.0, np.float32)
    hu[24:40, 24:40] = 50.0
    return torch.from_numpy(hu)


def erased(config, seed):
    return erase(np.random.default_rng(seed), image(), config, VIEWS)[0]


def test_the_same_number_removes_the_same_part():
    config = EraseConfig(share=1.0)
    assert torch.equal(erased(config, 3), erased(config, 3))
    assert not torch.equal(erased(config, 3), erased(config, 4))


def test_as_many_images_lose_parts_as_asked():
    lost = np.mean([not torch.equal(erased(EraseConfig(share=0.5, most=1.0), seed), image()) for seed in range(200)])
    assert 0.35 < lost < 0.6


def test_no_more_is_removed_than_asked():
    config = EraseConfig(share=1.0, most=0.25, fills=("lung",))
    shares = [float((erased(config, seed) != image()).float().mean()) for seed in range(40)]
    assert max(shares) < 0.3


def test_the_removed_part_is_told():
    for seed in range(20):
        found, removed = erase(np.random.default_rng(seed), image(), EraseConfig(share=0.5, fills=("lung",)), VIEWS)
        assert torch.equal(found[~removed], image()[~removed])
        assert (found[removed] == -850.0).all()


def test_lung_stands_where_lung_is_asked_for():
    found = erased(EraseConfig(share=1.0, most=1.0, fills=("lung",)), 1)
    assert set(found.unique().tolist()) <= {-850.0, 50.0}


def test_a_blurred_fill_keeps_what_is_far_smoother():
    found = erased(EraseConfig(share=1.0, most=1.0, fills=("blur",)), 1)
    between = (found > -840) & (found < 40)
    assert between.any()


def test_without_lung_a_typical_value_stands():
    assert lung_mean(np.zeros((8, 8))) == -850.0
    assert lung_mean(image().numpy()) == pytest.approx(-850.0)


def test_impossible_parts_are_refused():
    with pytest.raises(InputError, match="from 0 to 1"):
        EraseConfig(share=2.0)
