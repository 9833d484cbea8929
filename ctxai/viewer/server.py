"""OHIF's files and Orthanc's DICOMweb on one origin: what a browser needs, on loopback, read-only."""

from __future__ import annotations

import http.client
import logging
import mimetypes
import re
import shutil
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from ctxai.errors import InputError
from ctxai.viewer.ohif import app_config
from ctxai.viewer.orthanc import HOST

_DICOMWEB = "/dicom-web/"
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css"}
#: QIDO-RS and WADO-RS of PS3.18; neither other servers that Orthanc knows nor a path upwards.
_RETRIEVALS = re.compile(r"/dicom-web/(studies|series|instances)(/(?!\.{1,2}(/|$))[A-Za-z0-9._,~-]+)*/?")
#: OHIF compiles its codecs at run time, in workers of its own; nothing comes from or goes to elsewhere.
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: "
    "data:; worker-src 'self' blob:; object-src 'self' blob:; frame-src 'self' blob:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_BLOCK = 1 << 18
_UPSTREAM_SECONDS = 300
_FORWARDED = ("Accept", "Accept-Encoding", "Range", "If-None-Match", "If-Modified-Since")
#: Of one connection, or meaningless after the body has passed through us.
_NOT_RETURNED = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date", "set-cookie"}

logger = logging.getLogger(__name__)


class ViewerServer:
    """Serve the viewer; a context manager that listens while its block runs.

    Queries and retrievals under ``/dicom-web/`` (QIDO-RS, WADO-RS) go to Orthanc and its answers come back as they
    arrive, of any length; nothing else of Orthanc can be reached. All other paths are the viewer's files, or its index
    page, whose own router reads the path. Only GET and HEAD are answered, only where the request names this server as
    its host, and never to a page of another origin, so that no other site can read images through a browser.

    Args:
        ohif: folder of the built viewer.
        orthanc: ``host:port`` of Orthanc.
        port: port to listen on; 0 takes a free one.
        authorization: header with which Orthanc is asked.

    Raises:
        InputError: when the port is taken.
    """

    def __init__(
        self, ohif: Path, orthanc: str, port: int = 0, authorization: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        try:
            self._server = _Server((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--port {port}: cannot listen there ({error}); give another, or 0 for a free one"
            ) from None
        self._server.ohif, self._server.orthanc = ohif.resolve(), orthanc
        self._server.authorization = authorization
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="viewer", daemon=True)

    @property
    def url(self) -> str:
        """Root of the viewer."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a browser's idle connections shall not keep us
    request_queue_size = 128
    ohif: Path
    orthanc: str
    authorization: Mapping[str, str]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what went wrong in one line; a browser that drops its connections is nothing wrong."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            logger.warning("the viewer could not answer a request: %r", error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 600

    def do_GET(self) -> None:
        try:
            path = urlsplit(self.path).path
        except ValueError:
            path = _DICOMWEB
        try:
            if not self._is_own():
                self._answer(HTTPStatus.FORBIDDEN, b"this viewer answers its own page alone\n", "text/plain")
            elif unquote(path).lower().startswith(_DICOMWEB.rstrip("/")):
                if _RETRIEVALS.fullmatch(path):
                    self._forward()
                else:
                    self._answer(HTTPStatus.NOT_FOUND, b"only studies can be read here\n", "text/plain")
            elif path == "/app-config.js":
                self._answer(HTTPStatus.OK, app_config().encode(), _TYPES[".js"])
            else:
                self._send_file(self._file(unquote(path)))
        except (ConnectionError, TimeoutError):  # the browser has gone, as it does when a page is left
            self.close_connection = True

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:  # requests name studies: nothing of them is logged
        pass

    def _is_own(self) -> bool:
        """Whether a request names this server as its host, and comes from no page of another origin."""
        hosts = {f"{name}:{self.server.server_address[1]}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        return (
            self.headers.get_all("Host", []) in [[host] for host in hosts]
            and (origin is None or origin in {f"http://{host}" for host in hosts})
            and self.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
        )

    def end_headers(self) -> None:
        """End the headers of an answer, with those that keep other sites out."""
        for name, value in _SECURITY.items():
            self.send_header(name, value)
        super().end_headers()

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, path: str) -> Path:
        """The viewer's file of that path; its index page for a path that names none, as for one outside its folder."""
        root = self.server.ohif
        try:
            file = (root / path.lstrip("/")).resolve()
            if file.is_relative_to(root) and file.is_file():
                return file
        except (OSError, ValueError):
            pass
        return root / "index.html"

    def _send_file(self, file: Path) -> None:
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        with file.open("rb") as content:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(content, self.wfile, _BLOCK)

    def _forward(self) -> None:
        """Ask Orthanc the same and hand its answer on, block by block."""
        upstream = http.client.HTTPConnection(self.server.orthanc, timeout=_UPSTREAM_SECONDS)
        headers = {name: self.headers[name] for name in _FORWARDED if name in self.headers}
        headers |= self.server.authorization
        headers["Host"] = self.headers["Host"]  # Orthanc builds the addresses of bulk data from it
        try:
            upstream.request(self.command, self.path, headers=headers)
            response = upstream.getresponse()
        except (OSError, http.client.HTTPException) as error:
            logger.warning("the viewer's DICOM server does not answer: %s", error)
            self._answer(HTTPStatus.BAD_GATEWAY, b"the DICOM server does not answer\n", "text/plain")
            upstream.close()
            return
        try:
            self._hand_on(response)
        except http.client.HTTPException:  # cut short: closing without an end tells the browser so
            self.close_connection = True
        finally:
            upstream.close()

    def _hand_on(self, response: http.client.HTTPResponse) -> None:
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _NOT_RETURNED:
                self.send_header(name, value)
        chunked = response.length is None and self.command != "HEAD"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", response.headers.get("Content-Length", "0"))
        self.end_headers()
        while block := response.read1(_BLOCK):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif response.length and self.command != "HEAD":
            raise http.client.IncompleteRead(b"", response.length)
