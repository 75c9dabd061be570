"""HTTP responses in GitHub's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from dashboard_scraper.model.doubts import Doubt, short_list

_DOCUMENTATION = "https://docs.github.com/rest/copilot/copilot-usage-metrics"
DOUBTS_HEADER = "X-Usage-Doubts"
_DOUBTS_NAMED = 20
_encode = msgspec.json.Encoder().encode


def json_answer(content: Any, status: int = 200) -> Response:
    """A JSON response."""
    headers = {"X-GitHub-Media-Type": "github.v3; format=json"}
    return Response(_encode(content), status, headers, "application/json; charset=utf-8")


def marked(response: Response, doubts: Sequence[Doubt]) -> Response:
    """Name days in doubt in a header: the body is GitHub's, and has no place for them."""
    if doubts:
        response.headers[DOUBTS_HEADER] = short_list(doubts, _DOUBTS_NAMED)
    return response


def error_answer(status: int, message: str) -> Response:
    """An error; the message must not repeat anything the client sent."""
    body = {"message": message, "documentation_url": _DOCUMENTATION, "status": f"{status}"}
    return json_answer(body, status)
