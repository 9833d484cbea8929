"""Who may talk to the page's server: the browser that came with the one-time token, from the page itself.

Refused: another host's name (DNS rebinding), a page of another origin, a request without the cookie, and a body that no
click needs. Every answer has a strict Content-Security-Policy, so that no text from a DICOM header can run.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Much more than a text of 2000 characters takes.
MAX_BODY_BYTES = 1 << 16
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware that lets nobody else in.

    Args:
        app: what is guarded.
        host: ``127.0.0.1:port``, the only name by which the server is called.

    Attributes:
        token: to be given once, as ``/?token=…``; it is exchanged for a cookie.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host
        self.token = secrets.token_urlsafe(32)
        self._used = False
        self._secret = secrets.token_urlsafe(32)
        self._cookie = f"ctxai-open-{host.rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is None and int(Headers(scope=scope).get("content-length") or 0) > MAX_BODY_BYTES:
            refusal = _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "larger than any click")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers[name] = value
            await send(message)

        await (self._app if refusal is None else refusal)(scope, _bounded(receive), send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        own = f"http://{self._host}"
        length = headers.get("content-length", "0")
        if headers.getlist("host") != [self._host] or not length.isdecimal():
            return _refused(HTTPStatus.FORBIDDEN, f"this page is at {own} alone")
        if origin not in (None, own) or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refused(HTTPStatus.FORBIDDEN, "no other page may ask here")
        if scope["method"] not in ("GET", "HEAD") and origin != own:
            return _refused(HTTPStatus.FORBIDDEN, "only the page itself may ask here")
        if self._knows(headers):
            return RedirectResponse("/", HTTPStatus.SEE_OTHER) if b"token=" in scope["query_string"] else None
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("token", [""])
        if (
            scope["path"] == "/"
            and scope["method"] == "GET"
            and secrets.compare_digest(given[0].encode(), self.token.encode())
        ):
            if self._used:
                return _refused(
                    HTTPStatus.FORBIDDEN,
                    "this address has been used by another browser; end `ctxai open` and start it again",
                )
            self._used = True
            answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
            answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
            return answer
        return _refused(HTTPStatus.FORBIDDEN, "open the address that `ctxai open` has printed")

    def _knows(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and secrets.compare_digest(cookie.value.encode(), self._secret.encode())


def _refused(status: HTTPStatus, reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", status)


def _bounded(receive: Receive) -> Receive:
    """A receiver that ends the connection where a body without a length grows too long."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if total > MAX_BODY_BYTES else message

    return bounded
