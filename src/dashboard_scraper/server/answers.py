"""HTTP responses in GitHub's format."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections.abc import Generator
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from dashboard_scraper.github.caveats import Caveats
from dashboard_scraper.model.doubts import short_list
from dashboard_scraper.model.listing import listed_days

Chunks = Generator[bytes, None, None]
API_VERSIONS = ("2022-11-28", "2026-03-10")
"""The first is what GitHub assumes for clients that name none."""
VERSION_HEADER = "X-GitHub-Api-Version"
MEDIA_TYPE_HEADER = "X-GitHub-Media-Type"
_DOCUMENTATION = "https://docs.github.com/rest/copilot/copilot-usage-metrics"
MISSING_HEADER = "X-Usage-Missing-Days"
DOUBTS_HEADER = "X-Usage-Doubts"
EARLIER_MISSING_HEADER = "X-Usage-Earlier-Missing-Days"
EARLIER_DOUBTS_HEADER = "X-Usage-Earlier-Doubts"
_DAYS_NAMED = 20
_SMALLEST_TO_COMPRESS = 1000
GZIP_LEVEL = 5
"""At higher levels, JSON gets hardly smaller, and takes twice as long."""
_GZIP_FORMAT = 31  # zlib's number for gzip, with the largest window
_encode = msgspec.json.Encoder().encode


def json_answer(content: Any, status: int = 200) -> Response:
    """A JSON response."""
    headers = {MEDIA_TYPE_HEADER: "github.v3; format=json"}
    return Response(_encode(content), status, headers, "application/json; charset=utf-8")


def with_caveats(response: Response, caveats: Caveats) -> Response:
    """Name days in doubt and missing days in headers: the body has GitHub's format, which has no
    place for them.
    """
    for name, text in (
        (MISSING_HEADER, listed_days(caveats.missing, _DAYS_NAMED)),
        (DOUBTS_HEADER, short_list(caveats.doubts, _DAYS_NAMED)),
        (EARLIER_MISSING_HEADER, listed_days(caveats.earlier_missing, _DAYS_NAMED)),
        (EARLIER_DOUBTS_HEADER, short_list(caveats.earlier_doubts, _DAYS_NAMED)),
    ):
        if text:
            response.headers[name] = text
    return response


def error_answer(status: int, message: str) -> Response:
    """An error; the message must not repeat anything that the client sent."""
    body = {"message": message, "documentation_url": _DOCUMENTATION, "status": f"{status}"}
    return json_answer(body, status)


def negotiated(request: Request, response: Response) -> Response:
    """The response with an ETag: 304 if the client has it already, and gzip if it accepts that.

    The tag depends on the content, so a newly signed link changes it.
    """
    response = tagged(request, response, tag_of(response.body))
    if len(response.body) >= _SMALLEST_TO_COMPRESS and accepts_gzip(request.headers):
        response.body = gzip.compress(response.body, GZIP_LEVEL, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = f"{len(response.body)}"
    return response


def tag_of(content: bytes | memoryview) -> str:
    """The ETag of a content, however it is encoded."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'


def tagged(request: Request, response: Response, tag: str) -> Response:
    """The response with this ETag; 304 if the client has it already."""
    response.headers["Vary"] = "Accept-Encoding, Authorization"
    set_tag(response, tag)
    if sent_tags(request.headers) & {"*", tag.removeprefix("W/")}:
        return not_modified(response)
    return response


def set_tag(response: Response, tag: str) -> None:
    """Let a client store the response, but check each time whether it is still current."""
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"


def not_modified(response: Response) -> Response:
    """The 304 that replaces a response, with its headers."""
    unchanged = Response(status_code=304, headers=dict(response.headers))
    for name in ("Content-Length", "Content-Type"):
        del unchanged.headers[name]
    return unchanged


def gzipped(chunks: Chunks) -> Chunks:
    """The chunks compressed; output is passed on as soon as there is any."""
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_FORMAT)
    with contextlib.closing(chunks):
        for chunk in chunks:
            if piece := compressor.compress(chunk):
                yield piece
    yield compressor.flush()


def sent_tags(headers: Headers) -> set[str]:
    """The tags of If-None-Match without `W/`: they are compared without it (RFC 9110, 13.1.2)."""
    return {each.strip().removeprefix("W/") for each in headers.get("If-None-Match", "").split(",")}


def accepts_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding names gzip with a weight other than 0."""
    for each in headers.get("Accept-Encoding", "").lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
