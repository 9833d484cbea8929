from __future__ import annotations

import pytest
from pydicom.sr import _concepts_dict
from pydicom.sr.coding import Code

from ctxai.export.dicom import codes

CODES = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}


@pytest.mark.parametrize("name", CODES)
def test_each_concept_is_that_of_the_standard(name):
    code = CODES[name]
    if code == Code("{score}", "UCUM", "score"):
        return  # UCUM takes any words in braces for a unit of its own
    meanings = {
        meaning.lower()
        for entries in _concepts_dict.concepts[code.scheme_designator].values()
        for value, (meaning, *_) in entries.items()
        if value == code.value
    }
    assert code.meaning.lower() in meanings
