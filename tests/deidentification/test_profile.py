"""Deidentified headers, against the table of PS3.15 E.1-1 as dicom-anonymizer carries it."""

from __future__ import annotations

import datetime
import io
import stat
import threading

import pydicom
import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag

from ctxai.deidentification.profile import Confidentiality, Retain, parse_retained
from ctxai.deidentification.secret_key import own_key_file, read_key
from ctxai.errors import InputError

from synthetic_ct import _image as ct_image
from synthetic_ct import ct_grid

KEY = b"a key of the tests, known to all"
MARK = "QZMARKED"
#: Value representations of texts that a mark fits into.
_TEXT = {"LO": MARK, "SH": MARK, "PN": MARK, "LT": MARK, "ST": MARK, "UT": MARK, "UC": MARK, "AE": MARK, "CS": MARK}
_VALUES = _TEXT | {"DA": "20170313", "TM": "110307", "DT": "20170313110307", "AS": "113Y", "UI": "1.2.3.4.5."}
REMOVED = {tag for tag in table.X_TAGS if len(tag) == 2}
IN_TABLE = {tag for tag in table.ALL_TAGS if len(tag) == 2}


@pytest.fixture
def image() -> Dataset:
    """A CT image with every attribute of the table that a mark, a date or a UID fits into."""
    import numpy as np

    dataset = ct_image(np.zeros((8, 8), np.int16), ct_grid((3, 8, 8)), 1, "confidential")
    for group, element in sorted(IN_TABLE):
        tag = Tag(group, element)
        if group in (0x0000, 0x0002, 0xFFFA, 0xFFFC) or not keyword_for_tag(tag):
            continue
        vr = dictionary_VR(tag)
        if vr in _VALUES:
            dataset.add_new(tag, vr, _VALUES[vr] + (f"{group}.{element}" if vr == "UI" else ""))
        elif vr == "SQ":
            item = Dataset()
            item.PatientName = item.LocalNamespaceEntityID = MARK
            dataset.add_new(tag, vr, [item])
    dataset.PatientAge, dataset.PatientSize = "044Y", 1.81
    dataset.BurnedInAnnotation = "NO"
    block = dataset.private_block(0x0011, f"{MARK} BLOCK", create=True)
    block.add_new(0x01, "LO", MARK)
    return dataset


def encoded(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def codes_of(dataset: Dataset) -> list[str]:
    return [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]


def test_nothing_of_the_table_is_left_but_what_has_to_be_there(image):
    clean = Confidentiality(KEY).header(image)
    left = {(element.tag.group, element.tag.element) for element in clean.iterall()} & IN_TABLE
    assert not left & REMOVED
    named = {keyword_for_tag(Tag(*tag)) for tag in left}
    pseudonyms = {"PatientID", "PatientName", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"}
    for keyword in named - pseudonyms - {"FrameOfReferenceUID"}:
        assert clean[keyword].is_empty, keyword
    data = encoded(clean)
    for value in {*_VALUES.values(), "044Y", "SYNTHETIC-1", "19600101", "20000101", "Phantom"}:
        assert value.encode() not in data, value
    for uid in (image.SOPInstanceUID, image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID):
        assert str(uid).encode() not in data
    assert clean.PatientIdentityRemoved == "YES"
    assert clean.LongitudinalTemporalInformationModified == "REMOVED"
    assert codes_of(clean) == ["113100", "113104", "113105"]
    assert not any(element.tag.is_private for element in clean)


def test_the_image_stays_what_it_is(image):
    clean = Confidentiality(KEY).header(image)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "Rows",
        "RescaleIntercept",
        "KVP",
    ):
        assert clean[keyword].value == image[keyword].value
    assert image.PatientID == MARK  # what was given is not changed


def test_one_key_makes_one_pseudonym_and_another_key_another(image):
    one, again, other = (Confidentiality(key).header(image) for key in (KEY, KEY, KEY[::-1]))
    for keyword in ("PatientID", "PatientName", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert one[keyword].value == again[keyword].value != other[keyword].value
    uid = one.SOPInstanceUID
    assert uid.is_valid and uid.startswith("2.25.")
    assert len({one.SOPInstanceUID, one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID}) == 4
    assert one.PatientID != Confidentiality(KEY).header(_with(image, PatientID="another")).PatientID


def _with(image: Dataset, **attributes: str) -> Dataset:
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


@pytest.mark.parametrize(
    ("option", "code", "keywords"),
    [
        ("uids", "113110", ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")),
        ("dates", "113106", ("StudyDate", "SeriesDate", "AcquisitionDate", "StudyTime")),
        ("patient", "113108", ("PatientSex", "PatientAge", "PatientSize")),
        ("device", "113109", ("StationName", "DeviceSerialNumber")),
        ("institution", "113112", ("InstitutionName", "InstitutionAddress")),
    ],
)
def test_an_option_keeps_what_it_names_and_says_so(image, option, code, keywords):
    basic = Confidentiality(KEY).header(image)
    clean = Confidentiality(KEY, parse_retained([option])).header(image)
    assert codes_of(clean) == ["113100", "113104", "113105", code]
    for keyword in keywords:
        assert clean[keyword].value == image[keyword].value
        assert keyword not in basic or basic[keyword].value != image[keyword].value
    assert "PatientBirthDate" in clean and clean["PatientBirthDate"].is_empty
    assert clean.LongitudinalTemporalInformationModified == ("UNMODIFIED" if option == "dates" else "REMOVED")
    changed = {e.keyword for e in clean if e.keyword not in basic or basic[e.tag].value != e.value}
    assert changed - set(keywords) <= {
        *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified"),
        *("PatientWeight", "ManufacturerModelName", "InstitutionalDepartmentName"),
        *("ContentDate", "SeriesTime", "AcquisitionTime", "ContentTime"),
    }


def test_modified_dates_keep_the_days_between_them(image):
    image.StudyDate, image.AcquisitionDate = "20200228", "20200301"
    image["SeriesDate"] = pydicom.DataElement("SeriesDate", "DA", "not a date", validation_mode=pydicom.config.IGNORE)
    clean = Confidentiality(KEY, frozenset({Retain.MODIFIED_DATES})).header(image)
    first, second = (
        datetime.datetime.strptime(clean[name].value, "%Y%m%d").date() for name in ("StudyDate", "AcquisitionDate")
    )
    assert (second - first).days == 2
    assert first < datetime.date(2020, 2, 28)
    assert "SeriesDate" not in clean
    assert codes_of(clean)[-1] == "113107"
    assert clean.LongitudinalTemporalInformationModified == "MODIFIED"
    later = Confidentiality(KEY, frozenset({Retain.MODIFIED_DATES})).header(_with(image, StudyDate="20210228"))
    moved = datetime.datetime.strptime(later.StudyDate, "%Y%m%d").date()
    assert (moved - first).days == 366  # another study of the same patient moves by the same days


def test_burned_in_annotations_are_refused(image):
    with pytest.raises(InputError, match="burned into its pixels"):
        Confidentiality(KEY).header(_with(image, BurnedInAnnotation="YES"))


def test_dates_are_kept_in_one_way_only_and_a_key_is_no_word():
    with pytest.raises(InputError, match="one of the two"):
        Confidentiality(KEY, parse_retained(["dates", "modified-dates"]))
    with pytest.raises(InputError, match="expected some of uids dates"):
        parse_retained(["names"])
    with pytest.raises(InputError, match="16 or more"):
        Confidentiality(b"password")


def test_a_key_is_made_once_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    key = read_key()
    assert len(key) == 64
    assert read_key() == key != read_key(tmp_path / "other.key")
    assert own_key_file().parent == tmp_path / "settings" / "ctxai"
    assert stat.S_IMODE(own_key_file().stat().st_mode) == 0o600
    (tmp_path / "short.key").write_text("short\n")
    (tmp_path / "short.key").chmod(0o600)
    with pytest.raises(InputError, match="expected a secret of 16 or more"):
        read_key(tmp_path / "short.key")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path, mode):
    read_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(InputError, match="chmod 600"):
        read_key(tmp_path / "key")


def test_one_id_of_two_issuers_is_two_patients(image):
    confidentiality = Confidentiality(KEY, frozenset({Retain.MODIFIED_DATES}))
    found = set()
    for issuer in ("", "HOSPITAL A", "HOSPITAL B"):
        image.IssuerOfPatientID = issuer
        found.add(confidentiality.header(image).PatientID)
    assert len(found) == 3


def test_a_key_that_another_process_is_making_is_waited_for(tmp_path):
    (tmp_path / "new.key").touch(mode=0o600)
    writing = threading.Timer(0.2, (tmp_path / "new.key").write_bytes, [KEY])
    writing.start()
    assert read_key(tmp_path / "new.key") == KEY
    writing.join()
