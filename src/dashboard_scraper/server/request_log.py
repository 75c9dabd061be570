"""The log of requests, and the headers that every answer has."""

from __future__ import annotations

import logging
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard_scraper.log_repeats import repeats
from dashboard_scraper.server.answers import API_VERSIONS, MEDIA_TYPE_HEADER, VERSION_HEADER

logger = logging.getLogger(__name__)

_LONGEST_PATH = 200
_REFUSALS = (400, 401, 403, 429)
_VERSION = VERSION_HEADER.lower().encode()
_MEDIA_TYPE = MEDIA_TYPE_HEADER.lower().encode()


class RequestLog:
    """Logs each request, with the id that its answer has, and without its query string, which may
    have a signature.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the application, and log the status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                request_id = secrets.token_hex(16)
                message["headers"] += [(b"x-github-request-id", request_id.encode())]
                _add_headers(scope, message)
                status = message["status"]
                # Strangers can cause these: log only the first of each kind, and count the others.
                kind = repeats(f"requests answered {status}") if status in _REFUSALS else None
                path = scope["path"][:_LONGEST_PATH]
                said = (scope["method"], path, status, request_id)
                logger.info("%s %s: %d (%s)", *said, extra=kind)
            await send(message)

        await self._app(scope, receive, logged)


def _add_headers(scope: Scope, message: Message) -> None:
    names = {name for name, _ in message["headers"]}
    if b"cache-control" not in names:
        message["headers"] += [(b"cache-control", b"no-store")]
    if _MEDIA_TYPE in names:
        asked = dict(scope["headers"]).get(_VERSION, b"").decode("latin-1")
        selected = asked if asked in API_VERSIONS else API_VERSIONS[0]
        message["headers"] += [(b"x-github-api-version-selected", selected.encode())]
