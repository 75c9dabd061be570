"""HTTP responses in GitHub's format."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import time
import zlib
from collections.abc import Generator, Sequence
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from dashboard_scraper.github.views import Caveats
from dashboard_scraper.model.doubts import Doubt, short_list
from dashboard_scraper.model.listing import listed_days

Chunks = Generator[bytes, None, None]
API_VERSIONS = ("2022-11-28", "2026-03-10")
"""The first is GitHub's for clients that name none."""
VERSION_HEADER = "X-GitHub-Api-Version"
MEDIA_TYPE_HEADER = "X-GitHub-Media-Type"
DOUBTS_HEADER = "X-Usage-Doubts"
_DOCUMENTATION = "https://docs.github.com/rest/copilot/copilot-usage-metrics"
MISSING_HEADER = "X-Usage-Missing-Days"
_DAYS_NAMED = 20
_REQUESTS_AN_HOUR = 15_000
_HOUR = 3600
_SMALLEST_TO_COMPRESS = 1000
GZIP_LEVEL = 5
"""JSON gets hardly any smaller beyond it, and takes twice as long."""
_GZIP_FORMAT = 31  # zlib's number for it, with the largest window
_encode = msgspec.json.Encoder().encode


def json_answer(content: Any, status: int = 200) -> Response:
    """A JSON response."""
    limit = {f"X-RateLimit-{name.title()}": f"{value}" for name, value in rate_limit().items()}
    headers = {
        MEDIA_TYPE_HEADER: "github.v3; format=json",
        **limit,
        "X-RateLimit-Resource": "core",
    }
    return Response(_encode(content), status, headers, "application/json; charset=utf-8")


def rate_limit() -> dict[str, int]:
    """A limit as GitHub reports it, of which nothing is ever used: requests are not counted here,
    but clients wait or fail if there is no number.
    """
    reset = int(time.time()) // _HOUR * _HOUR + _HOUR
    return {"limit": _REQUESTS_AN_HOUR, "remaining": _REQUESTS_AN_HOUR, "used": 0, "reset": reset}


def marked(response: Response, doubts: Sequence[Doubt]) -> Response:
    """Name days in doubt in a header: the body is GitHub's, and has no place for them."""
    if doubts:
        response.headers[DOUBTS_HEADER] = short_list(doubts, _DAYS_NAMED)
    return response


def with_caveats(response: Response, caveats: Caveats) -> Response:
    """Name days in doubt, and those that the report lacks, in headers."""
    if caveats.missing:
        response.headers[MISSING_HEADER] = listed_days(caveats.missing, _DAYS_NAMED)
    return marked(response, caveats.doubts)


def error_answer(status: int, message: str) -> Response:
    """An error; the message must not repeat anything the client sent."""
    body = {"message": message, "documentation_url": _DOCUMENTATION, "status": f"{status}"}
    return json_answer(body, status)


def negotiated(request: Request, response: Response) -> Response:
    """The response with an ETag: 304 if the client has it already, and gzip if it accepts that.

    The tag is of the content, so a link that was signed anew makes another one.
    """
    digest = hashlib.sha256(response.body).hexdigest()[:32]
    tag = f'W/"{digest}"'
    response.headers["ETag"] = tag
    response.headers["Vary"] = "Accept-Encoding, Authorization"
    # A client may store it, but asks each time whether it is still right.
    response.headers["Cache-Control"] = "private, no-cache"
    if _names_tag(request.headers.get("If-None-Match", ""), tag):
        unchanged = Response(status_code=304, headers=dict(response.headers))
        del unchanged.headers["Content-Length"], unchanged.headers["Content-Type"]
        return unchanged
    if len(response.body) >= _SMALLEST_TO_COMPRESS and accepts_gzip(request.headers):
        response.body = gzip.compress(response.body, GZIP_LEVEL, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = f"{len(response.body)}"
    return response


def gzipped(chunks: Chunks) -> Chunks:
    """The chunks compressed, each as soon as it says something."""
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_FORMAT)
    with contextlib.closing(chunks):
        for chunk in chunks:
            if piece := compressor.compress(chunk):
                yield piece
    yield compressor.flush()


def _names_tag(sent: str, tag: str) -> bool:
    """Whether If-None-Match names the tag; it is compared without `W/` (RFC 9110, 13.1.2)."""
    tags = {each.strip().removeprefix("W/") for each in sent.split(",")}
    return "*" in tags or tag.removeprefix("W/") in tags


def accepts_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding names gzip, and not with the weight 0."""
    for each in headers.get("Accept-Encoding", "").lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
