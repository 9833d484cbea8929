"""Texts that name a patient, read without loss: a replaced character would make another patient of him."""

from __future__ import annotations

from pydicom import Dataset, config
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from ctxai.ct.dicom_errors import without_warnings

_CODES_ONE_TO_ONE = "latin-1"


def exact_text(dataset: Dataset, keyword: str) -> str:
    """A text without blanks around it; empty where there is none.

    Bytes that its character set lacks are read as Latin-1, one character each, so that different texts stay different.
    """
    raw = _raw(dataset, keyword)
    if raw is None:
        with without_warnings():
            return str(dataset.get(keyword) or "").strip()
    text = _decoded(dataset, keyword, raw)
    return (raw.decode(_CODES_ONE_TO_ONE) if text is None else text).strip("\0 ")


def is_exact(dataset: Dataset, keyword: str) -> bool:
    """Whether the character set that a data set names has every character of a text.

    Args:
        dataset: as it was read: a text that was asked for before is no longer there in bytes.
        keyword: of the text.
    """
    raw = _raw(dataset, keyword)
    return raw is None or _decoded(dataset, keyword, raw) is not None


def _raw(dataset: Dataset, keyword: str) -> bytes | None:
    """Bytes of a text that is not ASCII, as the file has them."""
    if keyword not in dataset:
        return None
    value = dataset.get_item(keyword).value
    return value if isinstance(value, bytes) and not (value.isascii() and b"\x1b" not in value) else None


def _decoded(dataset: Dataset, keyword: str, raw: bytes) -> str | None:
    """The text by its character sets (PS3.5 6.1.2); None where they are unknown or do not have it."""
    delimiters = PN_DELIMS if keyword == "PatientName" else TEXT_VR_DELIMS
    with without_warnings(), config.strict_reading():
        try:
            return decode_bytes(raw, convert_encodings(dataset.get("SpecificCharacterSet")), delimiters)
        except (LookupError, ValueError):
            return None
