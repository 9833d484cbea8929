import numpy as np
import pytest
from made_up_lidc import made_up_nodule, made_up_scan

from ctxai.errors import InputError
from ctxai.phantom.nodule.traits import TRAITS, appearance, ratings_of

SCAN = made_up_scan(np.arange(0, 100, 2.5))
#: Which quantity draws each trait, and whether it rises with the rating.
DRAWN = {
    "texture": ("solid", 1),
    "margin": ("fade", -1),
    "spiculation": ("spikes", 1),
    "lobulation": ("notch", 1),
    "calcification": ("calcified", -1),
    "subtlety": ("clutter", -1),
}


def look(planted: str | None = None, **ratings):
    return appearance(made_up_nodule(SCAN, [50], **ratings), planted)


@pytest.mark.parametrize("trait", TRAITS)
def test_the_rule_is_monotone_in_the_mean_rating(trait):
    scale = [(r, r, s, s) for r, s in ((3, 3), (3, 4), (4, 4), (4, 5), (5, 5))]
    name, sign = DRAWN[trait]
    values = [getattr(look(**{trait: ratings}), name) for ratings in scale]
    assert (sign * np.diff(values) > 0).all()


@pytest.mark.parametrize("trait", TRAITS)
def test_one_rating_changes_no_other_trait(trait):
    low, high = look(**{trait: 3}), look(**{trait: 5})
    for other, (name, _) in DRAWN.items():
        if other != trait:
            assert getattr(low, name) == getattr(high, name)


def test_what_is_rated_absent_is_not_drawn_at_all():
    plain = look()
    assert (plain.fade, plain.spikes, plain.notch, plain.calcified, plain.clutter) == (0, 0, 0, 0, 0)
    assert plain.solid == 1


def test_the_most_frequent_pattern_of_calcification_is_drawn():
    assert look(calcification=(6, 5, 5, 3)).pattern == "central"
    assert look(calcification=(2, 2, 2, 1)).pattern == "laminated"


def test_ratings_outside_their_scale_are_left_out():
    assert look(internalStructure=5).content == "soft"
    assert look(texture=(9, 5, 5, 0)).solid == 1
    assert look(texture=9).solid == 1


def test_unusual_contents_are_drawn():
    assert look(internalStructure=(4, 4, 1, 4)).content == "air"


def test_planting_one_trait_holds_the_others_still():
    ratings = {"texture": 2, "margin": 1, "spiculation": 4, "lobulation": 5, "calcification": 3, "subtlety": 1}
    planted = look("spiculation", **ratings)
    assert planted.spikes == look(**ratings).spikes
    assert (planted.solid, planted.notch, planted.calcified) == (1, 0, 0)


def test_an_unknown_planted_trait_is_refused():
    with pytest.raises(InputError, match="not a trait that the phantom draws"):
        look("malignancy")


def test_ratings_of_a_look_are_those_it_is_drawn_from():
    given = {"texture": 2, "margin": 3, "spiculation": 4, "lobulation": 2, "calcification": 4, "subtlety": 3}
    found = ratings_of(look(**given))
    assert found == pytest.approx(given)
