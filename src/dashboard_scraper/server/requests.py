"""Checks a request before authentication: it must be unambiguous, and for one of our hosts."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard_scraper.server.answers import error_answer

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CLOSE = (b"connection", b"close")


class Hosts:
    """The hosts that a request may name: download links lead to the host that it names.

    Allowed with the port of the connection: loopback names, the address that we listen on, and the
    connection's local address, in case we listen on all. Allowed with any port, unless they include
    one: the given names.
    """

    def __init__(self, listening_on: str, names: Collection[str]) -> None:
        self._own = _LOOPBACK | {_canonical(listening_on)}
        self._names = frozenset(names)

    def allows(self, scope: Scope, host: bytes) -> bool:
        """Whether the `Host` header of this request names one of them."""
        match = _HOST.fullmatch(host)
        if not match:
            return False
        if self._names & {host.decode().lower(), match[1].decode().lower()}:
            return True
        address, port = scope["server"]
        named = _canonical(match[1].decode())
        if int(match[2] or _DEFAULT_PORTS.get(scope["scheme"], 0)) != port:
            return False
        return named in self._own or named == _canonical(address)


def _canonical(host: str) -> str:
    host = host.strip("[]").lower()
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    return host


class CheckedRequests:
    """Refuses requests for other hosts, and those that a proxy may parse differently (smuggling).

    No endpoint reads a body, so a connection on which a body was announced is closed after the
    answer.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        has_body = b"transfer-encoding" in headers or length.strip(b"0") != b""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        if reason := self._reason(scope, headers):
            await error_answer(400, reason)(scope, receive, closing)
        else:
            await self._app(scope, receive, closing if has_body else send)

    def _reason(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        if b"transfer-encoding" in headers and b"content-length" in headers:
            return "A request has either Content-Length or Transfer-Encoding"
        host = headers.get(b"host")  # HTTP/1.0 may have no Host; links then have our own address
        if host is not None and self._hosts and not self._hosts.allows(scope, host):
            return "The host of this request is not one of this server's; SERVE_HOSTS names them"
        return None
