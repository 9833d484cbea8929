"""Texts that name a patient, in every character set."""

import io

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from ctxai.ct.dicom_errors import without_warnings
from ctxai.ct.identity import exact_text, is_exact

#: Character sets, their Python codecs, and letters that they have.
SETS = [
    ("ISO_IR 100", "latin-1", "äöüÄÖÜßéñ"),
    ("ISO_IR 101", "iso8859-2", "łžčŠ"),
    ("ISO_IR 144", "iso8859-5", "ЖЯщ"),
    ("ISO_IR 126", "iso8859-7", "ψΩλ"),
    ("ISO_IR 192", "utf-8", "äЖ山☃"),
    ("GB18030", "gb18030", "王小东"),
    (["", "ISO 2022 IR 87"], "iso2022_jp", "山田"),
]


def read(raw: bytes, character_set, keyword: str = "PatientID") -> Dataset:
    """A data set with a text in the given bytes, as read from a file."""
    dataset = Dataset()
    if character_set is not None:
        with pydicom.config.disable_value_validation():
            dataset.SpecificCharacterSet = character_set
    setattr(dataset, keyword, "@" * len(raw))
    buffer = io.BytesIO()
    with without_warnings():
        pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
        content = buffer.getvalue().replace(b"@" * len(raw), raw)
        return pydicom.dcmread(io.BytesIO(content), force=True)


@pytest.mark.parametrize(("character_set", "codec", "letters"), SETS, ids=[str(one[0]) for one in SETS])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_text_in_its_own_character_set_is_exact(character_set, codec, letters, data):
    text = data.draw(st.text(letters + "Az9-", min_size=2, max_size=12))
    dataset = read(text.encode(codec), character_set)
    assert is_exact(dataset, "PatientID")
    assert exact_text(dataset, "PatientID") == text


@settings(max_examples=100, deadline=None)
@given(
    one=st.binary(min_size=2, max_size=8).map(lambda raw: bytes(byte | 0x80 for byte in raw)),
    other=st.binary(min_size=2, max_size=8).map(lambda raw: bytes(byte | 0x80 for byte in raw)),
    character_set=st.sampled_from(["ISO_IR 192", "ISO_IR 100", "GB18030", "ISO_IR 999", None]),
)
def test_different_bytes_are_different_texts_whatever_their_character_set_says(one, other, character_set):
    texts = [exact_text(read(raw, character_set), "PatientID") for raw in (one, other)]
    stripped = [raw.strip(b"\0 ") for raw in (one, other)]
    exact = [is_exact(read(raw, character_set), "PatientID") for raw in (one, other)]
    if all(exact) or not any(exact):
        assert (texts[0] == texts[1]) == (stripped[0] == stripped[1])


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "AccessionNumber"])
@pytest.mark.parametrize(
    ("raw", "character_set"),
    [(b"M\xfcller", "ISO_IR 192"), ("Müller".encode(), "ISO_IR 999"), ("Müller".encode(), "nonsense")],
)
def test_bytes_that_a_character_set_lacks_are_found(keyword, raw, character_set):
    assert not is_exact(read(raw, character_set, keyword), keyword)
    assert "\ufffd" not in exact_text(read(raw, character_set, keyword), keyword)


def test_plain_texts_are_exact_in_any_character_set():
    for character_set in (None, "ISO_IR 999", "ISO_IR 192"):
        assert is_exact(read(b"LIDC-1 ", character_set), "PatientID")
        assert exact_text(read(b"LIDC-1 ", character_set), "PatientID") == "LIDC-1"
    assert is_exact(Dataset(), "PatientID") and exact_text(Dataset(), "PatientID") == ""
