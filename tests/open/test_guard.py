import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ctxai.open.guard import MAX_BODY_BYTES, Guard

HOST = "127.0.0.1:4000"
OWN = {"Origin": f"http://{HOST}"}


async def page(request: Request):
    return PlainTextResponse(str(len(await request.body())))


def client(guard):
    return TestClient(guard, base_url=f"http://{HOST}", follow_redirects=False)


@pytest.fixture
def guard():
    return Guard(Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])]), HOST)


@pytest.fixture
def known(guard):
    browser = client(guard)
    assert browser.get("/", params={"token": guard.token}).status_code == 303
    return browser


def test_the_token_is_exchanged_for_a_cookie_once(guard):
    first, second = client(guard), client(guard)
    answer = first.get("/", params={"token": guard.token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guard.token not in cookie
    assert first.get("/").status_code == 200
    refused = second.get("/", params={"token": guard.token})
    assert refused.status_code == 403
    assert "has been used by another browser" in refused.text
    assert first.get("/", params={"token": guard.token}).headers["location"] == "/"


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_nobody_gets_in_without_the_token(token, guard):
    for path in ("/", "/state"):
        answer = client(guard).get(path, params={"token": token})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_a_token_counts_at_the_root_alone(guard):
    assert client(guard).get("/state", params={"token": guard.token}).status_code == 403
    assert client(guard).post("/", params={"token": guard.token}, headers=OWN).status_code == 403


@pytest.mark.parametrize("host", ["localhost:4000", "127.0.0.1", "127.0.0.1:4001", "evil.example:4000", ""])
def test_another_host_is_refused(host, known):
    assert known.get("/").status_code == 200
    assert known.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:4000", "https://127.0.0.1:4000", "null"])
def test_another_origin_is_refused(origin, known):
    assert known.get("/", headers={"Origin": origin}).status_code == 403
    assert known.post("/", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_from_another_site_is_refused(site, known):
    assert known.get("/", headers={"Sec-Fetch-Site": site}).status_code == 403


def test_what_changes_something_needs_the_pages_own_origin(known):
    assert known.post("/", headers=OWN).status_code == 200
    assert known.post("/").status_code == 403


def test_a_long_body_is_refused_with_or_without_its_length(known):
    assert known.post("/", headers=OWN, content=b"x" * MAX_BODY_BYTES).text == str(MAX_BODY_BYTES)
    assert known.post("/", headers=OWN, content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413
    assert known.post("/", headers={**OWN, "Content-Length": "many"}).status_code == 403

    with pytest.raises(ClientDisconnect):  # the connection ends
        known.post("/", headers=OWN, content=iter([b"x" * 40000, b"x" * 40000])).raise_for_status()


@pytest.mark.parametrize("path", ["/", "/nothing"])
def test_every_answer_lets_no_foreign_script_run(path, known, guard):
    for answer in (known.get(path), client(guard).get(path)):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
