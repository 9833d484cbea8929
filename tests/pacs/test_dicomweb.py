"""DICOMweb answers that Orthanc does not give on request; the system tests talk to a real one."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from ctxai.errors import PacsError
from ctxai.pacs.dicomweb import TOKEN, DicomWebPeer

from .web_server import answering

_PARTLY = """<?xml version="1.0"?><NativeDicomModel>
<DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
<DicomAttribute tag="00081197" vr="US" keyword="FailureReason"><Value number="1">290</Value></DicomAttribute>
</Item></DicomAttribute></NativeDicomModel>"""


def test_a_refused_object_has_the_reason_that_the_server_gives(ct_files: list[Path]):
    with answering(202, _PARTLY, "application/dicom+xml") as (url, _):
        outcomes = list(DicomWebPeer(url).store(ct_files[:2]))
    assert [outcome.accepted for outcome in outcomes] == [False, False]
    assert outcomes[0].message == "status 0122H, it does not store objects of this class"


def test_a_rejected_request_is_about_that_object_alone(ct_files: list[Path]):
    with answering(409) as (url, _):
        outcomes = list(DicomWebPeer(url).store(ct_files[:2]))
    assert [outcome.message for outcome in outcomes] == ["HTTP 409 Conflict"] * 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_broken_server_is_an_error(status: int, ct_files: list[Path]):
    with answering(status) as (url, _), pytest.raises(PacsError, match=f"HTTP {status}"):
        list(DicomWebPeer(url).store(ct_files))


def test_nobody_at_the_address_is_an_error(ct_files: list[Path]):
    with answering(200) as (url, _):
        pass
    with pytest.raises(PacsError, match="no connection"):
        list(DicomWebPeer(url).store(ct_files))
    with pytest.raises(PacsError, match="no connection"):
        DicomWebPeer(url).find("1.2.3")


def test_a_study_that_is_not_there_has_no_series():
    with answering(404) as (url, _):
        assert DicomWebPeer(url).find("1.2.3") == []


def test_the_token_travels_in_the_header_and_not_in_the_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TOKEN, "secret")
    with answering(200, "[]", "application/dicom+json") as (url, seen):
        peer = DicomWebPeer(url)
        assert peer.find("1.2.3") == []
    assert seen[0]["Authorization"] == "Bearer secret"
    assert "secret" not in peer.name


def test_the_token_wins_over_a_password_for_the_host_in_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering(200, "[]") as (url, seen):
        DicomWebPeer(url).find("1.2.3")
        monkeypatch.setenv(TOKEN, "secret")
        DicomWebPeer(url).find("1.2.3")
    assert [one["Authorization"].split()[0] for one in seen] == ["Basic", "Bearer"]


def authority(folder: Path, name: str) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file, by OpenSSL."""
    path = folder / f"{name}.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", path, "-out", folder / "c"]
    subprocess.run([*command.split(), *subject, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + (folder / "c").read_text())
    return path


def test_the_authority_that_was_named_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    right, wrong = authority(tmp_path, "right"), authority(tmp_path, "wrong")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(right)
    with answering(200, "[]", tls=context) as (url, seen):
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(variable, str(right))
            assert DicomWebPeer(url).find("1.2.3") == []  # trusted by the environment
            with pytest.raises(PacsError, match=r"certificate is not trusted; name the authority with --tls\.ca"):
                DicomWebPeer(url, ca=wrong).find("1.2.3")
            monkeypatch.setenv(variable, str(wrong))
            assert DicomWebPeer(url, ca=right).find("1.2.3") == []
            monkeypatch.delenv(variable)
    assert len(seen) == 4


def test_https_to_a_port_of_http_is_told_so():
    with (
        answering(200, "[]") as (url, _),
        pytest.raises(PacsError, match="does not speak TLS at this port; use http://"),
    ):
        DicomWebPeer(url.replace("http://", "https://")).find("1.2.3")
