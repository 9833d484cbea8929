"""Answers of STOW-RS and C-STORE, and what counts as stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dicom_peer import dicom_peer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ctxai.errors import PacsError
from ctxai.pacs.client import Outcome, plain_advice
from ctxai.pacs.dicomweb import DicomWebPeer
from ctxai.pacs.dimse import DimsePeer
from ctxai.pacs.stow_answer import read_stow_answer

from .web_server import answering

JSON, XML, HTML = "application/dicom+json", "application/dicom+xml", "text/html"
STORED, REFUSED, LATER, NO_ANSWER = "stored", "refused", "later", "no answer"
OURS, OTHER = "{uid}", "1.2.3"


def answer(sequence: str, uid: str | None, reason: tuple[str, int] | None = None) -> str:
    """A store response in DICOM JSON that names one object."""
    item = {} if uid is None else {"00081155": {"vr": "UI", "Value": [uid]}}
    item |= {} if reason is None else {reason[0]: {"vr": "US", "Value": [reason[1]]}}
    return json.dumps({sequence: {"vr": "SQ", "Value": [item]}})


def xml(sequence: str, uid: str) -> str:
    return (
        f'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"><DicomAttribute tag="{sequence}" '
        f'vr="SQ"><Item number="1"><DicomAttribute tag="00081155" vr="UI"><Value number="1">{uid}</Value>'
        "</DicomAttribute></Item></DicomAttribute></NativeDicomModel>"
    )


OK, FAILED, OTHERS = "00081199", "00081198", "0008119A"
STOW = [
    ("named as stored", 200, JSON, answer(OK, OURS), STORED),
    ("named as stored, in a list", 200, JSON, f"[{answer(OK, OURS)}]", STORED),
    ("named as stored, XML", 200, XML, xml(OK, OURS), STORED),
    ("named as stored with a warning", 202, JSON, answer(OK, OURS, ("00081196", 0xB000)), STORED),
    ("another object is stored", 200, JSON, answer(OK, OTHER), NO_ANSWER),
    ("something without a UID is stored", 200, JSON, answer(OK, None), NO_ANSWER),
    ("empty object", 200, JSON, "{}", NO_ANSWER),
    ("empty list", 200, JSON, "[]", NO_ANSWER),
    ("empty 200", 200, JSON, "", NO_ANSWER),
    ("accepted, empty", 202, JSON, "", NO_ANSWER),
    ("no content", 204, JSON, "", NO_ANSWER),
    ("login page", 200, HTML, "<html><title>Log in</title></html>", NO_ANSWER),
    ("login page that claims to be JSON", 200, JSON, "<title>Log in</title>", NO_ANSWER),
    ("JSON that is not DICOM", 200, "application/json", '{"status": "ok"}', NO_ANSWER),
    ("XML that is not DICOM", 200, XML, "<ok/>", NO_ANSWER),
    ("stored, with an error of HTTP", 409, JSON, answer(OK, OURS), REFUSED),
    ("failed", 202, JSON, answer(FAILED, OURS, ("00081197", 0x0122)), REFUSED),
    ("failed, HTTP says success", 200, JSON, answer(FAILED, OURS, ("00081197", 0xA900)), REFUSED),
    ("failed without a UID", 409, JSON, answer(FAILED, None, ("00081197", 0xC000)), REFUSED),
    ("failed without a reason", 409, JSON, answer(FAILED, OURS), REFUSED),
    ("other failures", 202, JSON, answer(OTHERS, None, ("00081197", 0xC122)), REFUSED),
    ("no resources", 409, JSON, answer(FAILED, OURS, ("00081197", 0xA700)), LATER),
    ("not authorised yet", 409, JSON, answer(FAILED, OURS, ("00081197", 0x0124)), LATER),
    ("processing failure", 409, JSON, answer(FAILED, OURS, ("00081197", 0x0110)), LATER),
    ("bad request", 400, HTML, "<title>Bad</title>", REFUSED),
    ("media type", 415, HTML, "", REFUSED),
    ("too large", 413, HTML, "", REFUSED),
    ("credentials", 401, HTML, "", NO_ANSWER),
    ("forbidden", 403, HTML, "", NO_ANSWER),
    ("no such service", 404, HTML, "", NO_ANSWER),
    ("no such method", 405, HTML, "", NO_ANSWER),
    ("too many requests", 429, HTML, "", NO_ANSWER),
    ("broken", 500, HTML, "", NO_ANSWER),
    ("busy", 503, HTML, "", NO_ANSWER),
    ("full disk", 507, HTML, "", NO_ANSWER),
]


def kind(outcome: Outcome) -> str:
    return STORED if outcome.accepted else LATER if outcome.temporary else REFUSED


@pytest.mark.parametrize(
    ("status", "content_type", "body", "expected"), [pytest.param(*row[1:], id=row[0]) for row in STOW]
)
def test_a_stow_answer_counts_as_what_it_says_of_the_object(
    status: int, content_type: str, body: str, expected: str, ct_files: list[Path]
):
    uid = str(dcmread(ct_files[0]).SOPInstanceUID)
    with answering(status, body.replace(OURS, uid), content_type) as (url, _):
        try:
            (outcome,) = DicomWebPeer(url).store(ct_files[:1])
            found = kind(outcome)
        except PacsError:
            found = NO_ANSWER
    assert found == expected


@pytest.mark.parametrize(
    ("status", "body"), [(415, ""), (409, answer(FAILED, None, ("00081197", 0xC122)))], ids=["media type", "reason"]
)
def test_a_refused_deflated_object_is_told_its_plain_format(
    status: int, body: str, ct_files: list[Path], deflated_file: Path
):
    with answering(status, body, JSON) as (url, _):
        plain, deflated = DicomWebPeer(url).store([ct_files[0], deflated_file])
    assert not plain.accepted
    assert "-plain" not in plain.message
    assert deflated.message == plain.message + plain_advice(DeflatedExplicitVRLittleEndian)
    assert "sc-plain" in deflated.message


UIDS = st.sampled_from(["1.2.3.4", "1.2.3.4", "1.2.3.5", ""])
REASONS = st.sampled_from([0, 0x0110, 0x0122, 0xA700, 0xB000, 0xC000])


@st.composite
def answers(draw) -> Dataset:
    """Store responses that name objects as stored, as failed, as both, or say something else."""
    response = Dataset()
    for keyword, reason in (
        ("ReferencedSOPSequence", "WarningReason"),
        ("FailedSOPSequence", "FailureReason"),
        ("OtherFailuresSequence", "FailureReason"),
    ):
        items = []
        for uid in draw(st.lists(UIDS, max_size=2)):
            item = Dataset()
            if uid:
                item.ReferencedSOPInstanceUID = uid
            if draw(st.booleans()):
                setattr(item, reason, draw(REASONS))
            items.append(item)
        if items or draw(st.booleans()):
            setattr(response, keyword, items)
    if draw(st.booleans()):
        response.RetrieveURL = "http://archive/studies/1"
    return response


@settings(max_examples=200, deadline=None)
@given(response=answers(), cut=st.one_of(st.none(), st.integers(0, 200)), listed=st.booleans())
def test_no_answer_counts_as_stored_that_does_not_name_the_object(response: Dataset, cut: int | None, listed: bool):
    """Read by pydicom: stored is what the answer names as such and neither names as failed nor leaves open."""
    text = response.to_json()
    text = f"[{text}]" if listed else text
    found = read_stow_answer((text if cut is None else text[:cut]).encode(), JSON)
    if cut is not None and cut < len(text):
        assert found is None
        return
    again = Dataset.from_json(response.to_json())

    def named(keyword: str) -> set[str]:
        return {str(item.get("ReferencedSOPInstanceUID", "")) for item in again.get(keyword, [])}

    failed = named("FailedSOPSequence") | named("OtherFailuresSequence")
    outcome = found.outcome(Path("a.dcm"), "1.2.3.4")
    if "1.2.3.4" in failed or "" in failed:
        assert outcome is not None and not outcome.accepted
    elif "1.2.3.4" in named("ReferencedSOPSequence"):
        assert outcome is not None and outcome.accepted
    else:
        assert outcome is None


@settings(max_examples=200, deadline=None)
@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just("1.2.3.4")),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["00081199", "00081198", "00081155", "vr", "Value", "status"]), inner, max_size=3
            ),
        ),
        max_leaves=12,
    )
)
def test_no_json_ends_in_a_traceback(value: object):
    found = read_stow_answer(json.dumps(value).encode(), JSON)
    outcome = None if found is None else found.outcome(Path("a.dcm"), "1.2.3.4")
    if outcome is not None and outcome.accepted:
        (answer,) = value if isinstance(value, list) else [value]
        assert '"1.2.3.4"' in json.dumps(answer["00081199"])


C_STORE = [
    (0x0000, STORED),
    (0xB000, STORED),
    (0xB006, STORED),
    (0xB007, STORED),
    (0xB123, REFUSED),
    (0x0001, REFUSED),
    (0x0110, LATER),
    (0x0122, REFUSED),
    (0x0124, LATER),
    (0xA700, LATER),
    (0xA7FF, LATER),
    (0xA900, REFUSED),
    (0xC000, REFUSED),
    (0xFE00, REFUSED),
]


@pytest.mark.parametrize(("status", "expected"), C_STORE, ids=[f"{row[0]:04X}H" for row in C_STORE])
def test_a_c_store_status_counts_as_ps3_4_says(status: int, expected: str, ct_files: list[Path]):
    with dicom_peer() as archive:
        archive.status = status
        (outcome,) = DimsePeer("PACS", "127.0.0.1", archive.port).store(ct_files[:1])
    assert kind(outcome) == expected
    assert (outcome.message == "") == (status == 0)


def test_what_a_server_says_besides_is_told(ct_files: list[Path]):
    for status, body, words in (
        (200, "<html><TITLE>\n Sign in </TITLE>", "a page titled 'Sign in'"),
        (409, '{"Message": "quota exceeded"}', "quota exceeded"),
        (400, "<title>The plain HTTP request was sent to HTTPS port</title>", "plain HTTP request"),
    ):
        with answering(status, body, "text/html") as (url, _):
            try:
                (outcome,) = DicomWebPeer(url).store(ct_files[:1])
                said = outcome.message
            except PacsError as error:
                said = str(error)
        assert words in said


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_nothing_reaches_its_target(status: int, ct_files: list[Path]):
    with answering(200, "[]") as (target, seen), answering(status, "", Location=f"{target}/studies") as (url, _):
        peer = DicomWebPeer(url)
        with pytest.raises(PacsError, match=r"redirects to http://127\.0\.0\.1, which is not followed"):
            list(peer.store(ct_files[:1]))
        with pytest.raises(PacsError, match="redirects"):
            peer.find("1.2.3")
    assert seen == []


def test_the_file_travels_byte_for_byte(ct_files: list[Path]):
    uid = str(dcmread(ct_files[0]).SOPInstanceUID)
    with answering(200, answer(OK, uid)) as (url, seen):
        (outcome,) = DicomWebPeer(url).store(ct_files[:1])
    assert outcome.accepted
    assert ct_files[0].read_bytes() in seen[0]["body"]


@pytest.mark.parametrize(
    "body", ["<html>", "{}", '[{"0020000E": 1}]', "[1]", '[{"0020000E": {"vr": "UI"}}]', "nonsense"]
)
def test_a_query_that_is_answered_with_something_else_is_an_error_of_one_line(body: str):
    with answering(200, body, JSON) as (url, _), pytest.raises(PacsError, match="no DICOM JSON"):
        DicomWebPeer(url).find("1.2.3")
