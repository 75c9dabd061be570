"""Answers in GitHub's form."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

_DOCUMENTATION = "https://docs.github.com/rest/copilot/copilot-usage-metrics"
_encode = msgspec.json.Encoder().encode


def json_answer(content: Any, status: int = 200) -> Response:
    """A body of JSON."""
    headers = {"X-GitHub-Media-Type": "github.v3; format=json"}
    return Response(_encode(content), status, headers, "application/json; charset=utf-8")


def error_answer(status: int, message: str) -> Response:
    """What went wrong; the message must not repeat what the reader sent."""
    body = {"message": message, "documentation_url": _DOCUMENTATION, "status": f"{status}"}
    return json_answer(body, status)
