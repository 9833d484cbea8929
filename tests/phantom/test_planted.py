from functools import cache

import numpy as np
import pytest

from ctxai.errors import InputError
from ctxai.phantom.planted import EVIDENCE_HU, PLANTED_TRAITS, plant

NUMBERS = range(3)


@cache
def nodule(trait: str, number: int):
    return plant(trait, 0, number, depth=1)


@pytest.mark.parametrize("trait", PLANTED_TRAITS)
@pytest.mark.parametrize("number", NUMBERS)
def test_far_from_the_evidence_a_nodule_and_its_counterpart_have_the_same_voxels(trait, number):
    found = nodule(trait, number)
    difference = np.abs(found.with_trait.astype(int) - found.without)
    assert found.with_trait.shape == found.evidence.shape == (1, 64, 64)
    assert found.evidence.any()
    assert difference[~found.evidence].max() <= EVIDENCE_HU + 1
    assert (difference == 0).mean() > 0.9


@pytest.mark.parametrize("number", NUMBERS)
def test_spikes_lie_outside_the_outline_on_one_side(number):
    found = nodule("spikes", number)
    assert (found.evidence & ~found.inside).sum() > 0.7 * found.evidence.sum()
    middle = np.argwhere(found.inside[0]).mean(axis=0)
    towards = np.argwhere(found.evidence[0]) - middle
    side = towards.mean(axis=0) / np.linalg.norm(towards.mean(axis=0))
    assert (towards @ side > 0).mean() > 0.9


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("trait", ["core", "solid_part"])
def test_a_core_and_a_solid_part_lie_inside_and_are_dense(trait, number):
    found = nodule(trait, number)
    assert (found.evidence & found.inside).sum() > 0.95 * found.evidence.sum()
    assert found.evidence.sum() < 0.7 * found.inside.sum()
    assert np.median(found.with_trait[found.evidence]) > np.median(found.without[found.evidence]) + 200


def test_a_cube_holds_the_evidence_in_more_than_one_slice():
    found = plant("core", 0, 0)
    assert found.with_trait.shape == (64, 64, 64)
    assert found.evidence.any(axis=(1, 2)).sum() > 3


def test_the_seed_decides_the_voxels_and_the_number_the_nodule():
    again = plant("core", 0, 0, depth=1)
    assert np.array_equal(again.with_trait, nodule("core", 0).with_trait)
    assert not np.array_equal(plant("core", 1, 0, depth=1).with_trait, again.with_trait)
    assert not np.array_equal(nodule("core", 1).with_trait, again.with_trait)


@pytest.mark.parametrize(("trait", "depth"), [("halo", 1), ("core", 2)])
def test_an_unknown_trait_or_depth_is_refused(trait, depth):
    with pytest.raises(InputError, match="expected"):
        plant(trait, 0, 0, depth)
