"""Reads one page of an Analytics API answer: its records, and strictly what stands beside them."""

from __future__ import annotations

from datetime import date
from typing import Any, TypeVar

import msgspec

from dashboard_scraper.decoding import decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.listing import listed
from dashboard_scraper.sources.analytics.endpoints import ApiCount, Endpoint, Reading
from dashboard_scraper.sources.rest.pagination import commas_beside, parse_object
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys

_PAGINATION, _METADATA = "pagination", "metadata"
_USERS_RETURNED = "returned_user_count"
# What `read_answer` and `UserCounts` check themselves; the envelope skips it.
_UNDERSTOOD = (
    f"{_PAGINATION}.has_more",
    f"{_PAGINATION}.next_cursor",
    f"{_METADATA}.{_USERS_RETURNED}",
)


class _Metadata(msgspec.Struct):
    effective_start_date: date
    effective_end_date: date
    returned_user_count: ApiCount | None = None


class _Pagination(msgspec.Struct):
    has_more: bool
    next_cursor: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """One page: its records, each with its unknown fields; their JSON text; and how to go on."""

    records: list[tuple[Any, dict[str, Cell]]]
    raw: msgspec.Raw
    next_cursor: str | None
    user_count: int | None


def read_answer(reading: Reading, shape: Endpoint, body: bytes | bytearray) -> Answer:
    """Take a page apart; ContractBroken names what is not as documented."""
    endpoint = reading.endpoint
    fields = parse_object(endpoint, body)
    if shape.key not in fields:
        raise ContractBroken(
            f"{endpoint}: {shape.key} is missing; the answer has the keys"
            f" {listed([*map(repr, sorted(fields))]) or 'none'}"
        )
    raw = fields.pop(shape.key)
    commas = commas_beside(endpoint, body, fields)
    metadata = _field(endpoint, fields, _METADATA, _Metadata)
    paged = shape.page_size is not None
    cursor = _next_cursor(endpoint, fields) if paged or _PAGINATION in fields else None
    if cursor is not None and not paged:
        raise ContractBroken(f"{endpoint}: {_PAGINATION}: this endpoint is not known to have pages")
    reading.envelope.read(fields, _UNDERSTOOD)
    records, keys = shape.decode(reading, raw)
    if commas != max(0, keys - 1):
        refuse_repeated_keys(endpoint, body)
    reading.envelope.count(len(records))
    return Answer(records, raw, cursor, metadata.returned_user_count)


_T = TypeVar("_T")


def _field(endpoint: str, fields: dict[str, msgspec.Raw], name: str, kind: type[_T]) -> _T:
    if name not in fields:
        raise ContractBroken(f"{endpoint}: {name} is missing")
    with decoding(f"{endpoint}: {name}"):
        return msgspec.json.decode(fields[name], type=kind)


def _next_cursor(endpoint: str, fields: dict[str, msgspec.Raw]) -> str | None:
    pagination = _field(endpoint, fields, _PAGINATION, _Pagination)
    if not pagination.has_more:
        return None
    if not pagination.next_cursor:
        raise ContractBroken(f"{endpoint}: {_PAGINATION}.has_more is true, next_cursor is missing")
    return pagination.next_cursor
