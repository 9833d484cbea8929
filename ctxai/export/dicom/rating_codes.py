"""LIDC-IDRI's nine ratings as coded concepts and values, and what a model predicts of them.

The codes are those of the DICOM objects published with LIDC-IDRI (lidc2dicom), which spell RadLex's designator
``RadLex`` where PS3.16 has ``RADLEX``; ``99LIDCQIICR`` is their private scheme.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydicom.sr.coding import Code

_PUBLISHED = "99LIDCQIICR"
_OWN = "99CTXAI"

#: What a rating is called.
RATING_CONCEPTS = {
    "subtlety": Code("C45992", "NCIt", "Subtlety score"),
    "internalStructure": Code("200", _PUBLISHED, "Internal structure"),
    "calcification": Code("C3672", "NCIt", "Calcification"),
    "sphericity": Code("400", _PUBLISHED, "Sphericity"),
    "margin": Code("C25563", "NCIt", "Margin"),
    "lobulation": Code("C62175", "NCIt", "Lobular pattern"),
    "spiculation": Code("C28749", "NCIt", "Spiculation"),
    "texture": Code("C41144", "NCIt", "Texture"),
    "malignancy": Code("RID36042", "RadLex", "Malignancy"),
}


def _between(first: Code, last: Code) -> tuple[Code, ...]:
    """A scale of five with names for its ends, and a third where both give one."""
    return first, *(Code(f"00{n}", _PUBLISHED, f"{n} out of 5") for n in (2, 3, 4)), last


def _numbered(start: int, *meanings: str) -> tuple[Code, ...]:
    return tuple(Code(str(start + place), _PUBLISHED, meaning) for place, meaning in enumerate(meanings))


_TEXTURE = _between(Code("RID50153", "RadLex", "Non-solid"), Code("RID50151", "RadLex", "Solid"))
_SPHERICITY = _between(Code("RID5811", "RadLex", "Linear"), Code("RID5799", "RadLex", "Round"))

#: The values 1, 2, … of a rating.
RATING_VALUES: Mapping[str, tuple[Code, ...]] = {
    "subtlety": _numbered(
        101, "Extremely subtle", "Moderately subtle", "Fairly subtle", "Moderately obvious", "Obvious"
    ),
    "internalStructure": (
        Code("C12471", "NCIt", "Soft tissue"),
        Code("C25278", "NCIt", "Fluid"),
        Code("C12472", "NCIt", "Adipose tissue"),
        Code("C73434", "NCIt", "Air"),
    ),
    "calcification": (
        Code("RID35453", "RadLex", "Popcorn"),
        Code("302", _PUBLISHED, "Laminated"),
        Code("RID5741", "RadLex", "Solid"),
        Code("304", _PUBLISHED, "Non-central"),
        Code("RID5827", "RadLex", "Central"),
        Code("RID28473", "RadLex", "Absent"),
    ),
    "sphericity": (*_SPHERICITY[:2], Code("RID5800", "RadLex", "Ovoid"), *_SPHERICITY[3:]),
    "margin": _between(Code("RID5709", "RadLex", "Indistinct"), Code("RID5707", "RadLex", "Circumscribed")),
    "lobulation": _between(Code("601", _PUBLISHED, "No lobulation"), Code("605", _PUBLISHED, "Marked lobulation")),
    "spiculation": _between(Code("701", _PUBLISHED, "No spiculation"), Code("705", _PUBLISHED, "Marked spiculation")),
    "texture": (*_TEXTURE[:2], Code("RID50152", "RadLex", "Part-solid"), *_TEXTURE[3:]),
    "malignancy": _numbered(
        901,
        "Highly unlikely",
        "Moderately unlikely",
        "Indeterminate",
        "Moderately suspicious",
        "Highly suspicious",
    ),
}


def rating_codes(name: str, value: int) -> tuple[Code, Code] | None:
    """Concept and coded value of one reader's rating; None for a value beyond the scale, which the database has."""
    values = RATING_VALUES[name]
    return (RATING_CONCEPTS[name], values[value - 1]) if 1 <= value <= len(values) else None


def own_concept(meaning: str) -> Code:
    """A concept of ctxai's private scheme 99CTXAI: its value is made from its meaning, so that equal ones are equal."""
    return Code(hashlib.sha256(meaning.encode()).hexdigest()[:16].upper(), _OWN, meaning)
