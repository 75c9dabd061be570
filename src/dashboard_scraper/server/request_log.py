"""The log of requests, and the headers that every answer has."""

from __future__ import annotations

import logging
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard_scraper.log_repeats import never_repeats, repeats
from dashboard_scraper.logs import with_fields
from dashboard_scraper.server.answers import API_VERSIONS, MEDIA_TYPE_HEADER, VERSION_HEADER
from dashboard_scraper.server.noted import Noted, noted_of
from dashboard_scraper.server.rates import unlimited

logger = logging.getLogger(__name__)
audit = logging.getLogger("dashboard_scraper.audit")
"""Logs one line for each access, without names of persons."""

_LONGEST_PATH = 200
_REFUSALS = (400, 401, 403, 429)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_VERSION = VERSION_HEADER.lower().encode()
_MEDIA_TYPE = MEDIA_TYPE_HEADER.lower().encode()


class RequestLog:
    """Logs each request, with the id in its answer; with `addresses`, also the client's address."""

    def __init__(self, app: ASGIApp, *, addresses: bool) -> None:
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the application, and log what was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            client = scope["client"][0] if self._addresses and scope.get("client") else None
            answer.log(client)


class _Answer:
    """The answer to one request: adds the headers, and records what is sent."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._noted = noted_of(scope)
        self._id = secrets.token_hex(16)
        self._began = time.perf_counter()
        self._status = 500
        self._bytes = 0
        self._is_whole = False

    async def send(self, message: Message) -> None:
        """Send the message on."""
        is_start = message["type"] == "http.response.start"
        if is_start:
            self._status = message["status"]
            message["headers"] += [(b"x-github-request-id", self._id.encode())]
            _add_headers(self._scope, self._noted, message)
            self._log_path()
        await self._send(message)
        if not is_start:
            if self._scope["method"] != "HEAD":
                self._bytes += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)

    def log(self, client: str | None) -> None:
        """Write the audit line, after everything is sent."""
        method, noted = self._scope["method"], self._noted
        fields: dict[str, str | int | None] = {
            "token": noted.token,
            "method": method if method in _METHODS else "other",
            "route": noted.route,
            "status": self._status,
            "bytes": self._bytes,
            "milliseconds": round((time.perf_counter() - self._began) * 1000),
            "request": self._id,
        }
        if client:
            fields["client"] = client
        if not self._is_whole:
            fields["cut"] = "yes"
        text = " ".join(f"{name}={'-' if v is None else v}" for name, v in fields.items())
        # Strangers can cause requests without a token: if those repeat, they are only counted.
        kind = never_repeats() if noted.token else repeats(_kind(noted.route, self._status))
        audit.info("%s", text, extra={**with_fields(fields), **kind})

    def _log_path(self) -> None:
        """Log the path for troubleshooting: it may name somebody. The query string, which may
        contain a signature, is left out.
        """
        kind = repeats(f"requests answered {self._status}") if self._status in _REFUSALS else None
        path = self._scope["path"][:_LONGEST_PATH]
        said = (self._scope["method"], path, self._status, self._id)
        logger.debug("%s %s: %d (%s)", *said, extra=kind)


def _kind(route: str, status: int) -> str:
    return f"requests without a token for {route} answered {status}"


def _add_headers(scope: Scope, noted: Noted, message: Message) -> None:
    names = {name for name, _ in message["headers"]}
    if b"cache-control" not in names:
        message["headers"] += [(b"cache-control", b"no-store")]
    if _MEDIA_TYPE in names:
        asked = dict(scope["headers"]).get(_VERSION, b"").decode("latin-1")
        selected = asked if asked in API_VERSIONS else API_VERSIONS[0]
        rate = noted.rate or unlimited()
        message["headers"] += [
            (b"x-github-api-version-selected", selected.encode()),
            *((f"x-ratelimit-{name}".encode(), b"%d" % n) for name, n in rate._asdict().items()),
            (b"x-ratelimit-resource", b"core"),
        ]
