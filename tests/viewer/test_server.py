from __future__ import annotations

import contextlib
import http.client
import os
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ctxai.errors import InputError
from ctxai.viewer.ohif import app_config
from ctxai.viewer.server import ViewerServer

BODY = os.urandom(3_000_000)
FIRST_HALF_READ = threading.Event()


class Archive(BaseHTTPRequestHandler):
    """A DICOMweb server's outside: bodies of known and of unknown length, what it was asked, an early end."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:1000])
            self.close_connection = True
        elif "chunked" in self.path:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for half in (BODY[:1_500_000], BODY[1_500_000:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
                if "wait" in self.path:
                    assert FIRST_HALF_READ.wait(30)
            self.wfile.write(b"0\r\n\r\n")
        elif "absent" in self.path:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/related; type=application/dicom; boundary=x")
            self.send_header("Content-Length", str(len(BODY)))
            self.send_header("Set-Cookie", "a=b")
            self.end_headers()
            self.wfile.write(BODY)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def archive():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    server.asked, server.daemon_threads = [], True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def viewer(archive, tmp_path):
    folder = tmp_path / "ohif"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>index</title>")
    (folder / "app-config.js").write_text("window.config = 'the stock one';")
    (folder / "assets" / "codec.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("outside")
    address = f"127.0.0.1:{archive.server_address[1]}"
    with ViewerServer(folder, address, authorization={"Authorization": "Basic secret"}) as server:
        yield server


@contextlib.contextmanager
def connected(viewer):
    connection = http.client.HTTPConnection(viewer.url.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        yield connection


def ask(viewer, path, method="GET", **headers):
    with connected(viewer) as connection:
        connection.request(method, path, headers=headers)
        with connection.getresponse() as response:
            return response, response.read()


def test_files_come_with_the_type_that_a_browser_demands(viewer):
    for path, kind, body in (
        ("/index.html", "text/html", b"<title>index</title>"),
        ("/assets/codec.wasm", "application/wasm", b"\0asm"),
        ("/app-config.js", "text/javascript", app_config().encode()),
    ):
        response, found = ask(viewer, path)
        assert (response.status, response.headers["Content-Type"], found) == (200, kind, body)


def test_the_viewers_own_addresses_are_its_index_page(viewer):
    for path in ("/", "/viewer?StudyInstanceUIDs=1.2", "/assets", "/no/such/file.js", "/%00"):
        response, body = ask(viewer, path)
        assert (response.status, body) == (200, b"<title>index</title>")


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "//etc/passwd"]
)
def test_nothing_outside_the_viewers_folder_is_served(viewer, path):
    response, body = ask(viewer, path)
    assert (response.status, body) == (200, b"<title>index</title>")


@pytest.mark.parametrize("kind", ["known-length", "chunked"])
def test_answers_of_dicomweb_come_through_whole(viewer, archive, kind):
    response, body = ask(viewer, f"/dicom-web/studies/1.2/{kind}?a=b%20c", Accept="multipart/related", Cookie="c")
    assert body == BODY
    assert response.headers["Set-Cookie"] is None
    (asked,) = archive.asked
    assert asked[0] == f"/dicom-web/studies/1.2/{kind}?a=b%20c"
    assert asked[1]["Accept"] == "multipart/related"
    assert asked[1]["Host"] == viewer.url.removeprefix("http://")
    assert "Cookie" not in asked[1]
    if kind == "known-length":
        assert response.headers["Content-Type"] == "multipart/related; type=application/dicom; boundary=x"


def test_an_answer_is_handed_on_while_it_arrives(viewer):
    FIRST_HALF_READ.clear()
    with connected(viewer) as connection:
        connection.request("GET", "/dicom-web/studies/chunked-wait")
        response = connection.getresponse()
        assert response.read(1_000_000) == BODY[:1_000_000]  # the archive has not sent the rest yet
        FIRST_HALF_READ.set()
        assert response.read() == BODY[1_000_000:]


def test_one_connection_takes_many_requests(viewer):
    asked = (
        ("/", 200),
        ("/dicom-web/studies/chunked", 200),
        ("/dicom-web/studies/absent", 404),
        ("/dicom-web/studies/x", 200),
    )
    with connected(viewer) as connection:
        for path, status in asked:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.status == status


def test_an_answer_that_ends_early_does_not_look_whole(viewer):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(viewer, "/dicom-web/studies/cut")


def test_a_dicom_server_that_is_gone_is_said(viewer, archive):
    archive.shutdown()
    archive.server_close()
    response, body = ask(viewer, "/dicom-web/studies")
    assert (response.status, body) == (502, b"the DICOM server does not answer\n")


def test_pages_of_other_sites_get_nothing(viewer, archive):
    response, _ = ask(viewer, "/dicom-web/studies", Host="evil.example:80")
    assert response.status == 403
    assert archive.asked == []
    port = viewer.url.rpartition(":")[2]
    assert ask(viewer, "/dicom-web/studies", Host=f"localhost:{port}")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_through_it(viewer, archive, method):
    assert ask(viewer, "/dicom-web/studies", method)[0].status == 501
    assert archive.asked == []


def test_a_browser_that_drops_its_connection_is_no_error(viewer, capfd):
    with connected(viewer) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
    assert ask(viewer, "/")[0].status == 200
    viewer.__exit__(None, None, None)
    assert capfd.readouterr().err == ""


def test_head_has_no_body(viewer):
    response, body = ask(viewer, "/index.html", "HEAD")
    assert (response.headers["Content-Length"], body) == ("20", b"")


def test_a_port_that_is_taken_is_one_line(viewer, tmp_path):
    port = int(viewer.url.rpartition(":")[2])
    with pytest.raises(InputError, match=rf"--port {port}: cannot listen there"):
        ViewerServer(tmp_path, "127.0.0.1:1", port)
    with pytest.raises(InputError, match="--port 99999: cannot listen there"):
        ViewerServer(tmp_path, "127.0.0.1:1", 99999)


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web/../instances",
        "/dicom-web/studies/../../tools/shutdown",
        "/dicom-web/studies/%2e%2e/%2e%2e/tools/shutdown",
        "/dicom-web/studies/..",
        "/dicom-web/studies/..%2f..%2fsystem",
        "/dicom-web/studies/1.2/..\\..\\system",
        "/dicom-web/studies//system",
        "/dicom-web/servers",
        "/dicom-web/",
        "/dicom-web",
        "/DICOM-WEB/studies",
        "/%64icom-web/studies",
        "/dicom-web/studies;x/1",
        "/dicom-web/studies/1\t2",
    ],
)
def test_of_the_dicom_server_only_studies_can_be_reached(viewer, archive, path):
    host, _, port = viewer.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert archive.asked == []
    assert b"secret" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/dicom-web/studies", "/app-config.js"])
def test_another_host_or_origin_gets_nothing(viewer, archive, path, headers):
    response, body = ask(viewer, path, **headers)
    assert (response.status, b"page alone" in body) == (403, True)
    assert archive.asked == []


def test_the_password_goes_to_the_dicom_server_and_never_to_the_browser(viewer, archive):
    response, _ = ask(viewer, "/dicom-web/studies", Authorization="Basic mine")
    assert archive.asked[0][1]["Authorization"] == "Basic secret"
    assert "secret" not in str(response.headers)


def test_every_answer_keeps_other_sites_out(viewer):
    for path in ("/", "/dicom-web/studies", "/dicom-web/nothing", "/app-config.js"):
        headers = ask(viewer, path)[0].headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "PROPFIND", "CONNECT"])
def test_no_other_method_is_answered(viewer, archive, method):
    assert ask(viewer, "/dicom-web/studies", method)[0].status == 501
    assert archive.asked == []
