from __future__ import annotations

import pytest

from ctxai.export.dicom.rating_codes import RATING_CONCEPTS, RATING_VALUES, own_concept, rating_codes
from ctxai.lidc.cohort import RATING_MAXIMUM
from ctxai.lidc.database import RATINGS


def test_every_rating_of_lidc_has_a_concept_and_a_code_for_each_value():
    assert set(RATING_CONCEPTS) == set(RATING_VALUES) == set(RATINGS)
    assert {name: len(values) for name, values in RATING_VALUES.items()} == RATING_MAXIMUM


def test_no_two_values_of_a_rating_share_a_code_or_a_meaning():
    for values in RATING_VALUES.values():
        assert len({(code.scheme_designator, code.value) for code in values}) == len(values)
        assert len({code.meaning for code in values}) == len(values)


@pytest.mark.parametrize(
    ("name", "value", "concept", "code"),
    [
        ("malignancy", 5, ("RID36042", "RadLex"), ("905", "99LIDCQIICR")),
        ("subtlety", 1, ("C45992", "NCIt"), ("101", "99LIDCQIICR")),
        ("internalStructure", 2, ("200", "99LIDCQIICR"), ("C25278", "NCIt")),
        ("calcification", 6, ("C3672", "NCIt"), ("RID28473", "RadLex")),
        ("sphericity", 3, ("400", "99LIDCQIICR"), ("RID5800", "RadLex")),
        ("margin", 4, ("C25563", "NCIt"), ("004", "99LIDCQIICR")),
        ("lobulation", 5, ("C62175", "NCIt"), ("605", "99LIDCQIICR")),
        ("spiculation", 1, ("C28749", "NCIt"), ("701", "99LIDCQIICR")),
        ("texture", 3, ("C41144", "NCIt"), ("RID50152", "RadLex")),
    ],
)
def test_ratings_are_coded_as_in_the_published_objects(name, value, concept, code):
    found = rating_codes(name, value)
    assert [(part.value, part.scheme_designator) for part in found] == [concept, code]


@pytest.mark.parametrize("value", [0, 7])
def test_a_rating_beyond_its_scale_has_no_code(value):
    assert rating_codes("calcification", value) is None


def test_own_concepts_are_equal_where_their_meanings_are():
    assert own_concept("a") == own_concept("a") != own_concept("b")
    assert len(own_concept("a").value) == 16  # the longest that a code value may be
