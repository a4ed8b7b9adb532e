"""Who may talk to the server, and what a browser may do with its pages. Plain ASGI."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from mono_depth.web.api_error import FORBIDDEN, NO_TOKEN, ApiError
from mono_depth.web.framework import LocalProtocolError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "mono_depth_token"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPEN = ("/livez",)  # for supervisors: says nothing
_PAGE = "/"

# Nothing is loaded from elsewhere, and nothing is sent there. The 3D view of plotly compiles
# its shaders' helpers at run time, hence 'unsafe-eval'; images in work are blobs and data.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Lets through who may ask, and sets the headers of every answer.

    Without a token only names of this machine are answered, so that no page of another site can
    reach the server under a name that it made point here. Pages of other sites are refused in any
    case: there is no CORS.
    """

    def __init__(self, app: AsgiApp, *, token: str = "") -> None:
        """Guard `app`; `token` is what clients must show, "" = none, for servers on loopback."""
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            try:
                await send(message)
            except LocalProtocolError:
                # What followed the request's head was no HTTP, so that the connection was ended
                # before there was an answer. Nobody hears one.
                await _until_gone(receive)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_site(headers)
            if self._token and self._asks_for_cookie(scope):
                await self._give_cookie(send_with_headers)
                return
            if self._token and scope["path"] not in _OPEN:
                self._check_token(headers)
        except ApiError as error:
            await answer_error(error, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check_site(self, headers: dict[bytes, str]) -> None:
        host = headers.get(b"host", "")
        if not self._token and _name_of(host) not in LOOPBACK:
            raise ApiError(FORBIDDEN, f"the server is not {host[:80]!r}; use 127.0.0.1")
        origin = headers.get(b"origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise ApiError(FORBIDDEN, "pages of other sites may not use this server")

    def _check_token(self, headers: dict[bytes, str]) -> None:
        kind, _, shown = headers.get(b"authorization", "").partition(" ")
        if kind.lower() != "bearer":
            shown = _cookie(headers.get(b"cookie", ""))
        if not self._is_token(shown):
            message = "send the header Authorization: Bearer TOKEN, or open /?token=TOKEN"
            raise ApiError(NO_TOKEN, message, {"WWW-Authenticate": "Bearer"})

    def _asks_for_cookie(self, scope: Scope) -> bool:
        if scope["path"] != _PAGE or scope["method"] != "GET":
            return False
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._is_token(shown[0])

    def _is_token(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode(), self._token.encode())

    async def _give_cookie(self, send: Send) -> None:
        """Keep the token in a cookie, so that it leaves the address of the page."""
        cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", _PAGE.encode()), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer_error(error: ApiError, send: Send) -> None:
    """Answer with an error, before anything of the request was read."""
    body = json.dumps(error.body()).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.kind.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
