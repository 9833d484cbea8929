import numpy as np
import pytest

from ctxai.phantom.nodule.texture import Texture

NODES = np.arange(40) * 2.5


def texture(seed: int = 1) -> Texture:
    return Texture(seed, (0.0, 100.0), 100.0)


def test_a_part_of_a_field_is_the_same_as_the_whole():
    z = np.arange(0, 100, 2.0)
    whole = texture().field("fat", 9, NODES, z)
    np.testing.assert_array_equal(texture().field("fat", 9, NODES, z[20:30]), whole[20:30])


def test_fields_have_zero_mean_and_unit_variance():
    field = texture().field("fat", 5, NODES, np.arange(0, 100, 1.0))
    assert field.mean() == pytest.approx(0, abs=0.05)
    assert field.std() == pytest.approx(1, abs=0.05)


def test_names_and_seeds_give_fields_of_their_own():
    z = np.arange(0, 100, 2.0)
    field = texture().field("fat", 9, NODES, z)
    for other in (texture().field("muscle", 9, NODES, z), texture(2).field("fat", 9, NODES, z)):
        assert abs(np.corrcoef(field.ravel(), other.ravel())[0, 1]) < 0.2


def test_larger_bumps_change_more_slowly():
    z = np.arange(0, 100, 2.0)
    change = [np.abs(np.diff(texture().field("fat", size, NODES, z), axis=0)).mean() for size in (6, 12, 24)]
    assert change[0] > change[1] > change[2]
