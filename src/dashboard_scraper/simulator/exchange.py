"""A request as it was received, and an answer with how to deliver it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import Enum
from typing import Any

import msgspec

SIGN_IN_PAGE = (
    b"<!doctype html><html><head><title>Sign in</title></head>"
    b"<body><form method=post action=/signin>Sign in to continue</form></body></html>"
)

_DAY_MS = 86_400_000

Headers = tuple[tuple[str, str], ...]

_DAYS = (
    ("startDate", "endDate"),
    ("start_date", "end_date"),
    ("date", "date"),
    ("day", "day"),
    ("starting_at", "starting_at"),
)
"""The parameters for the first and last day, by API."""


class Delivery(Enum):
    """How much of the answer is sent; each CUT_ ends half-way, with another framing of the body."""

    WHOLE = "whole"
    CUT_LENGTH = "length"
    CUT_CHUNKED = "chunked"
    CUT_CLOSE = "close"
    RESET = "reset"
    RESET_MID_BODY = "reset mid body"
    CUT_LAST_CHUNK = "last chunk"  # the whole body, without the final chunk that ends it
    CUT_HEAD = "head"  # not even all headers


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `hang` is the seconds before it, `drip` the seconds after each byte of the body.

    `interim` is the status and number of interim answers before it (None: endlessly many), one
    every `pause` seconds; each line of the head also takes `pause` seconds.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Headers = ()
    delivery: Delivery = Delivery.WHOLE
    hang: float = 0.0
    drip: float = 0.0
    interim: tuple[int, int | None] = (100, 0)
    pause: float = 0.0

    def with_headers(self, *headers: tuple[str, str]) -> Answer:
        return replace(self, headers=self.headers + headers)


class AnswerError(Exception):
    """A request that an API refuses, with the API's message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; `arrived` is monotonic, `status` what was sent (0: no status line).

    The names in `headers` are lower-case.
    """

    method: str
    path: str
    query: dict[str, str]
    cookie: str | None
    authorization: str | None
    arrived: float
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the query, or the fields of a JSON body; empty if it has none."""
        if not self.body:
            return dict(self.query)
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except ValueError:
            return {}

    @property
    def cursor(self) -> str | None:
        """The cursor of the requested page; None for the first page."""
        return self.parameters.get("cursor") or None

    @property
    def key(self) -> object:
        """Equal for all requests for the same page of the same answer."""
        return self.path, frozenset(self.query.items()), self.body

    @property
    def answer_key(self) -> object:
        """Equal for all requests for any page of the same answer."""
        fields = {name: each for name, each in self.parameters.items() if name != "cursor"}
        return self.path, msgspec.json.encode(fields, order="sorted")

    @property
    def endpoint(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]

    @property
    def day(self) -> date | None:
        """The single day that it asks for, in any API's parameters; None for any other request."""
        asked = self.parameters
        if isinstance(asked.get("startDate"), int):
            return _whole_day(asked["startDate"], asked.get("endDate"))
        for start, end in _DAYS:
            if start in asked and asked[start] == asked.get(end):
                return _day(asked[start])
        return None


def json_answer(body: object, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(body))


def html_answer(status: int = 200) -> Answer:
    """The sign-in page."""
    return Answer(status, SIGN_IN_PAGE, "text/html; charset=utf-8")


def cursor_at(offset: int, scope: str) -> str:
    """An opaque cursor, valid only for the same `scope`: an endpoint and its parameters."""
    return f"{zlib.crc32(f'{scope}@{offset}'.encode()):08x}.{offset}"


def offset_of(cursor: str | None, scope: str) -> int:
    """The inverse of `cursor_at`; AnswerError for a cursor that was never issued."""
    if cursor is None:
        return 0
    number = cursor.rpartition(".")[2]
    if not (number.isascii() and number.isdigit()) or cursor != cursor_at(int(number), scope):
        raise invalid("invalid cursor")
    return int(number)


def invalid(message: str) -> AnswerError:
    """The refusal of a parameter's value."""
    return AnswerError(400, "InvalidArgument", message)


def _whole_day(start: int, end: object) -> date | None:
    """The UTC day of which these are the first and the last millisecond."""
    number, rest = divmod(start, _DAY_MS)
    if rest or end != start + _DAY_MS - 1:
        return None
    return date(1970, 1, 1) + timedelta(days=number)


def _day(text: object) -> date | None:
    if not isinstance(text, str):
        return None
    try:
        if text.startswith("{"):
            parts = msgspec.json.decode(text, type=dict[str, int])
            return date(parts["year"], parts["month"], parts["day"])
        return date.fromisoformat(text)
    except (ValueError, KeyError):
        return None
