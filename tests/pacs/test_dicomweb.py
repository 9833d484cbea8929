"""DICOMweb answers that Orthanc does not give on request; the system tests talk to a real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ctxai.errors import PacsError
from ctxai.pacs.dicomweb import TOKEN, DicomWebPeer

_PARTLY = """<?xml version="1.0"?><NativeDicomModel>
<DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
<DicomAttribute tag="00081197" vr="US" keyword="FailureReason"><Value number="1">290</Value></DicomAttribute>
</Item></DicomAttribute></NativeDicomModel>"""


@contextmanager
def answering(status: int, body: str = "", content_type: str = "application/dicom+xml") -> Iterator[tuple[str, list]]:
    """A server that gives every request one answer, and the headers it saw."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_refused_object_has_the_reason_that_the_server_gives(ct_files: list[Path]):
    with answering(202, _PARTLY) as (url, _):
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
