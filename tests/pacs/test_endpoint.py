"""Addresses of peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctxai.errors import InputError
from ctxai.pacs.dicomweb import DicomWebPeer
from ctxai.pacs.dimse import DimsePeer
from ctxai.pacs.endpoint import peer_of
from ctxai.pacs.tls import Tls


def test_a_url_is_a_dicomweb_peer_without_its_last_slash():
    peer = peer_of("http://127.0.0.1:8042/dicom-web/", None)
    assert isinstance(peer, DicomWebPeer)
    assert peer.name == "http://127.0.0.1:8042/dicom-web"


@pytest.mark.parametrize("text", ["ORTHANC@127.0.0.1:4242", "MY PACS@pacs.example:104", "A@[::1]:11112"])
def test_title_host_and_port_are_a_dimse_peer(text: str):
    assert isinstance(peer_of(None, text), DimsePeer)


@pytest.mark.parametrize(
    "text",
    [
        "ORTHANC",
        "ORTHANC@host",
        "@host:104",
        "ORTHANC@host:0",
        "ORTHANC@h:70000",
        "A TITLE FAR TOO LONG@h:1",
        "A@h:1/x",
    ],
)
def test_another_form_is_refused_with_an_example(text: str):
    with pytest.raises(InputError, match=r"ORTHANC@127\.0\.0\.1:4242"):
        peer_of(None, text)


@pytest.mark.parametrize("url", ["ftp://host/dicom-web", "host:8042", "http://"])
def test_what_is_no_http_url_is_refused(url: str):
    with pytest.raises(InputError, match="root of a DICOMweb service"):
        peer_of(url, None)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(InputError, match="netrc") as caught:
        peer_of("http://me:secret@host/dicom-web", None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("web", "dimse", "found"), [(None, None, "none"), ("http://h/", "A@h:1", "both")])
def test_exactly_one_address_is_needed(web: str | None, dimse: str | None, found: str):
    with pytest.raises(InputError, match=f"found {found}"):
        peer_of(web, dimse)


def test_our_own_title_has_to_be_one():
    with pytest.raises(InputError, match="--aet"):
        peer_of(None, "A@h:1", aet="SEVENTEEN LETTERS")


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"--tls\.ca .*no such file"):
        peer_of(None, "A@h:1", tls=Tls(ca=tmp_path / "ca.pem"))


def test_a_certificate_that_is_none_is_refused(tmp_path: Path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing of the kind")
    with pytest.raises(InputError, match="PEM"):
        peer_of(None, "A@h:1", tls=Tls(ca=path))


def test_without_tls_options_a_connection_is_plain():
    assert Tls().context() is None
    assert Tls(encrypt=True).context() is not None
