"""Faults on demand: each effect changes the answer that would have been sent."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from dashboard_scraper.simulator.exchange import (
    Answer,
    Delivery,
    Request,
    html_answer,
    json_answer,
)
from dashboard_scraper.simulator.fields import ACTIVE_DAYS_FIELDS

Effect = Callable[[Answer, Request], Answer]
Json = Any  # what msgspec decodes without a type

_WITHIN_RECORDS = ("metrics", "cost_metrics", "group_by_values", "config", "tokenUsage")

_CUTS = {
    "length": Delivery.CUT_LENGTH,
    "chunked": Delivery.CUT_CHUNKED,
    "close": Delivery.CUT_CLOSE,
    "last chunk": Delivery.CUT_LAST_CHUNK,
    "head": Delivery.CUT_HEAD,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An effect on requests for `endpoint` (the last segment of the path) and a single `day` for
    which `asks`, such as `ungrouped`, is true.

    It skips the first `after` of these requests, and applies `times` times. None means any, or
    always.
    """

    effect: Effect
    endpoint: str | None = None
    day: date | None = None
    times: int | None = None
    after: int = 0
    asks: Callable[[Request], bool] | None = None

    def matches(self, request: Request) -> bool:
        if self.endpoint is not None and self.endpoint != request.endpoint:
            return False
        if self.asks is not None and not self.asks(request):
            return False
        return self.day is None or self.day == request.day


def grouped(request: Request) -> bool:
    """Whether the request asks for costs in groups."""
    return bool(request.parameters.get("group_by_keys"))


def ungrouped(request: Request) -> bool:
    """Whether the request asks only for the sums of costs."""
    return not grouped(request)


class FaultBook:
    """The faults of one simulator, in the order in which they were added. Thread-safe."""

    def __init__(self) -> None:
        self._seen: list[tuple[Fault, list[Request]]] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._seen.append((fault, []))

    def clear(self) -> None:
        with self._lock:
            self._seen.clear()

    def apply(self, answer: Answer, request: Request) -> Answer:
        """The answer after all faults that apply to the request."""
        for effect in self._due(request):
            answer = effect(answer, request)
        return answer

    def _due(self, request: Request) -> list[Effect]:
        due = []
        with self._lock:
            for fault, seen in self._seen:
                if not fault.matches(request):
                    continue
                seen.append(request)
                hits = len(seen) - fault.after
                if hits > 0 and (fault.times is None or hits <= fault.times):
                    due.append(fault.effect)
        return due


def status(code: int, retry_after: str | None = None, message: str = "") -> Effect:
    """An error answer; `retry_after` is the header's value, seconds or an HTTP date."""
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    body = {"error": {"code": "Simulated", "message": message or f"simulated status {code}"}}
    return lambda _answer, _request: replace(json_answer(body, code), headers=headers)


def reset() -> Effect:
    """Reset the connection before any answer."""
    return lambda answer, _request: replace(answer, delivery=Delivery.RESET, status=0)


def reset_mid_body() -> Effect:
    """Reset the connection after half the body."""
    return lambda answer, _request: replace(answer, delivery=Delivery.RESET_MID_BODY)


def hang(seconds: float) -> Effect:
    """Send nothing for this long, then the answer."""
    return lambda answer, _request: replace(answer, hang=seconds)


def drip(seconds_per_byte: float) -> Effect:
    """Send the body byte by byte."""
    return lambda answer, _request: replace(answer, drip=seconds_per_byte)


def cut_body(
    framing: Literal["length", "chunked", "close", "last chunk", "head"] = "length",
) -> Effect:
    """End the connection half-way through the body, in a way that a client can notice with some
    `framing`.

    With "close", the end of the connection is the end of the body, as in HTTP/1.0. With "last
    chunk", only the final empty chunk is missing; with "head", the headers are cut.
    """
    return lambda answer, _request: replace(answer, delivery=_CUTS[framing])


def interim(status: int, count: int | None = 1, pause: float = 0.0) -> Effect:
    """Send interim answers before the answer (None: endlessly), one every `pause` seconds."""
    return lambda answer, _request: replace(answer, interim=(status, count), pause=pause)


def slow_head(seconds_a_line: float) -> Effect:
    """Send many headers, line by line."""
    longer = long_head(90, 1)
    return lambda answer, request: replace(longer(answer, request), pause=seconds_a_line)


def long_head(lines: int, length: int) -> Effect:
    """Add this many headers of this many characters."""
    more = tuple((f"X-Line-{number}", "x" * length) for number in range(lines))
    return lambda answer, _request: answer.with_headers(*more)


def compressed(
    encoding: Literal["gzip", "deflate", "raw deflate", "br"] = "gzip",
    spoil: Callable[[bytes], bytes] = bytes,
) -> Effect:
    """Compress the body, then spoil it; Content-Length is right for the result."""

    def effect(answer: Answer, _request: Request) -> Answer:
        body = spoil(_COMPRESS[encoding](answer.body))
        name = encoding.removeprefix("raw ")
        return replace(answer, body=body).with_headers(("Content-Encoding", name))

    return effect


def _bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": _bare_deflate,
    "br": bytes,  # only claimed: a client that did not ask for this encoding must refuse it
}


def page(title: str, status: int = 200, server: str = "", *headers: tuple[str, str]) -> Effect:
    """An HTML page, like one of a filter or a bot check."""
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head></html>".encode()
    named = (("Server", server),) if server else ()
    return lambda _answer, _request: Answer(status, body, "text/html", headers=named + headers)


def html(status: int = 200) -> Effect:
    """The sign-in page instead of the data."""
    return lambda _answer, _request: html_answer(status)


def redirect(location: str, status: int = 302) -> Effect:
    """A redirect to a URL, or to a path on the same host."""
    return lambda _answer, _request: Answer(
        status, b"", "text/plain", headers=(("Location", location),)
    )


def raw_body(body: bytes, content_type: str = "application/json") -> Effect:
    """These bytes, with status 200."""
    return lambda _answer, _request: Answer(200, body, content_type)


def null_body() -> Effect:
    """The JSON `null`."""
    return raw_body(b"null")


def set_cookie(header: str) -> Effect:
    """Add a Set-Cookie header."""
    return lambda answer, _request: answer.with_headers(("Set-Cookie", header))


def rename_key(old: str, new: str) -> Effect:
    """Rename a key everywhere in the answer."""
    return edited(lambda body, _request: _renamed(body, old, new))


def set_value(field: str, value: object, record: int | None = None) -> Effect:
    """Replace a value in every record or in the one with that index: in the record itself, or in
    the object within it that has the field.
    """

    def edit(body: Json, _request: Request) -> Json:
        for row in _chosen(body, record):
            holder(row, field)[field] = value
        return body

    return edited(edit)


def raise_total(day: date, field: str, by: int | Decimal) -> Effect:
    """Raise a figure in the record of one day, in answers with a record per day."""

    def edit(body: Json, _request: Request) -> Json:
        for row in records_of(body):
            if day.isoformat() in (row.get("date"), row.get("start_date")):
                figures = holder(row, field)
                value = figures[field]
                figures[field] = (
                    f"{Decimal(value) + by:f}" if isinstance(value, str) else value + by
                )
        return body

    return edited(edit)


def add_field(name: str, value: object, record: int | None = None) -> Effect:
    """Add a field to every record, or to the one with that index."""

    def edit(body: Json, _request: Request) -> Json:
        for row in _chosen(body, record):
            row[name] = value
        return body

    return edited(edit)


def add_beside(*path: str, value: object) -> Effect:
    """Add a field beside the records, as in `add_beside("metadata", "partial", value=True)`."""

    def edit(body: Json, _request: Request) -> Json:
        holder = body
        for name in path[:-1]:
            holder = holder.setdefault(name, {})
        holder[path[-1]] = value
        return body

    return edited(edit)


def repeat_key(name: str, value: object) -> Effect:
    """Write a key twice in the first object that has it: first with this value, then its own."""
    again = msgspec.json.encode({name: value})[1:-1]
    key = msgspec.json.encode(name) + b":"
    return rewritten(lambda body, _request: body.replace(key, again + b"," + key, 1))


def inflate(size: int, times: int = 1) -> Effect:
    """A gzip bomb: white space before the body, in members of `size` bytes each."""
    member = gzip.compress(b" " * size) * times

    def effect(answer: Answer, _request: Request) -> Answer:
        packed = replace(answer, body=member + gzip.compress(answer.body))
        return packed.with_headers(("Content-Encoding", "gzip"))

    return effect


def remove_field(name: str, record: int | None = None) -> Effect:
    """Remove a field from every record, or from the one with that index."""

    def edit(body: Json, _request: Request) -> Json:
        for row in _chosen(body, record):
            holder(row, name).pop(name, None)
        return body

    return edited(edit)


def repeat_cursor() -> Effect:
    """Every page except the first names itself as the next one."""

    def edit(body: Json, request: Request) -> Json:
        if request.cursor:
            _point_to(body, request, request.cursor)
        return body

    return edited(edit)


def alternate_cursors() -> Effect:
    """The cursors alternate A, B, A, B endlessly; this needs at least three pages."""
    first_two: dict[object, list[str]] = {}

    def edit(body: Json, request: Request) -> Json:
        asked, following = request.cursor, _cursor(body)
        known = first_two.setdefault(request.answer_key, [])
        if following and len(known) < 2 and following not in known:
            known.append(following)
        elif asked in known[1:]:
            _point_to(body, request, known[0])
        return body

    return edited(edit)


def next_elsewhere(url: str) -> Effect:
    """The answer's `next` is a URL on another origin."""

    def edit(body: Json, _request: Request) -> Json:
        return {**body, "next": url} if isinstance(body, dict) else body

    return edited(edit)


def repeat_user(changed: bool = False) -> Effect:
    """Repeat a page's last user first on the next page, or at the end of a single page.

    With `changed`, the figures of the two differ.
    """
    last: dict[object, Json] = {}

    def edit(body: Json, request: Request) -> Json:
        key, records = request.answer_key, records_of(body)
        again = last.get(key) if request.cursor else None
        if records:
            last[key] = records[-1]
        if again is not None:
            records.insert(0, _raised(again) if changed else again)
        elif records and not request.cursor and _cursor(body) is None:
            records.append(_raised(records[-1]) if changed else records[-1])
        return body

    return edited(edit)


def edited(change: Callable[[Json, Request], Json]) -> Effect:
    """An effect on the JSON of an answer with data."""
    return rewritten(
        lambda body, request: msgspec.json.encode(change(msgspec.json.decode(body), request))
    )


def rewritten(change: Callable[[bytes, Request], bytes]) -> Effect:
    """An effect on the bytes of an answer with data."""

    def effect(answer: Answer, request: Request) -> Answer:
        if answer.status != 200 or answer.content_type != "application/json":
            return answer
        return replace(answer, body=change(answer.body, request))

    return effect


def records_of(body: Json) -> list[Json]:
    """The list of records itself, so that it can be changed; else the answer as a single record."""
    if not isinstance(body, dict):
        return body if isinstance(body, list) else []
    lists = [value for value in body.values() if isinstance(value, list)]
    return lists[0] if lists else [body]


def _chosen(body: Json, index: int | None) -> list[Json]:
    records = records_of(body)
    return records if index is None else records[index : index + 1]


def holder(record: Json, field: str) -> Json:
    """The object that has the field: the record itself or one within it, such as its `metrics`."""
    inner = (record.get(name) for name in _WITHIN_RECORDS)
    return next((each for each in inner if isinstance(each, dict) and field in each), record)


def _renamed(value: Json, old: str, new: str) -> Json:
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    if isinstance(value, dict):
        return {new if key == old else key: _renamed(item, old, new) for key, item in value.items()}
    return value


def _raised(record: Json) -> Json:
    """The record with every integer raised by one, including those written as text, except active
    days: a day has at most one.
    """
    if isinstance(record, str) and record.isdecimal():
        return f"{int(record) + 1}"
    if isinstance(record, dict):
        return {
            key: value if key in ACTIVE_DAYS_FIELDS else _raised(value)
            for key, value in record.items()
        }
    return record + 1 if isinstance(record, int) else record


def _cursor(body: Json) -> str | None:
    """The cursor of the next page, in either style of paging."""
    if not isinstance(body, dict):
        return None
    if isinstance(body.get("pagination"), dict):
        found = body["pagination"].get("next_cursor")
        return found if isinstance(found, str) and found else None
    query = parse_qs(urlsplit(body.get("next") or "").query)
    return query.get("cursor", [None])[0]


def _point_to(body: Json, request: Request, cursor: str) -> None:
    if isinstance(body.get("pagination"), dict):
        body["pagination"] = {"next_cursor": cursor, "has_more": True}
    elif "next" in body:
        # A path works for both styles of `next`: a client resolves it against the current page.
        body["next"] = f"{request.path}?{urlencode({**request.query, 'cursor': cursor})}"
