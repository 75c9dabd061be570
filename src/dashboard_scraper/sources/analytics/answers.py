"""Reads one page of an Analytics API answer: its records and, strictly, the fields beside them."""

from __future__ import annotations

from datetime import date
from typing import Any, TypeVar

import msgspec

from dashboard_scraper.decoding import decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.sources.analytics.endpoints import Endpoint, Reading
from dashboard_scraper.sources.rest.pagination import commas_beside, keys_text, parse_object
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.wire_types import Count

PAGINATION, METADATA = "pagination", "metadata"
_USERS_RETURNED = "returned_user_count"
PAGING = (f"{PAGINATION}.has_more", f"{PAGINATION}.next_cursor")
"""What `next_cursor` checks; the envelope skips it."""
_UNDERSTOOD = (*PAGING, f"{METADATA}.{_USERS_RETURNED}")  # `UserCounts` checks the last one


@decodable
class _Metadata(msgspec.Struct):
    effective_start_date: date
    effective_end_date: date
    returned_user_count: Count | None = None


@decodable
class _Pagination(msgspec.Struct):
    has_more: bool
    next_cursor: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """One page: its records, each with its unknown fields; their JSON text; and the next cursor."""

    records: list[tuple[Any, dict[str, Cell]]]
    raw: msgspec.Raw
    next_cursor: str | None
    user_count: int | None


def read_answer(reading: Reading, shape: Endpoint, body: bytes | bytearray) -> Answer:
    """Take a page apart; ContractBroken names what differs from the documentation."""
    endpoint = reading.endpoint
    fields = parse_object(endpoint, body)
    raw = records_in(endpoint, fields, shape.key)
    commas = commas_beside(endpoint, body, fields)
    metadata = required_field(endpoint, fields, METADATA, _Metadata)
    paged = shape.page_size is not None
    cursor = next_cursor(endpoint, fields) if paged or PAGINATION in fields else None
    if cursor is not None and not paged:
        raise ContractBroken(f"{endpoint}: {PAGINATION}: this endpoint is not known to have pages")
    reading.envelope.read(fields, _UNDERSTOOD)
    records, keys = shape.decode(reading, raw)
    if commas != max(0, keys - 1):
        refuse_repeated_keys(endpoint, body)
    reading.envelope.count(len(records))
    return Answer(records, raw, cursor, metadata.returned_user_count)


_T = TypeVar("_T")


def records_in(endpoint: str, fields: dict[str, msgspec.Raw], key: str) -> msgspec.Raw:
    """Take the list of records out of the fields of an answer."""
    if key not in fields:
        raise ContractBroken(f"{endpoint}: {key} is missing; {keys_text(fields)}")
    return fields.pop(key)


def required_field(endpoint: str, fields: dict[str, msgspec.Raw], name: str, kind: type[_T]) -> _T:
    """One field beside the records, decoded; ContractBroken if it is missing or malformed."""
    if name not in fields:
        raise ContractBroken(f"{endpoint}: {name} is missing")
    with decoding(f"{endpoint}: {name}"):
        return msgspec.json.decode(fields[name], type=kind)


def next_cursor(endpoint: str, fields: dict[str, msgspec.Raw]) -> str | None:
    """The cursor of the next page; None on the last page."""
    pagination = required_field(endpoint, fields, PAGINATION, _Pagination)
    if not pagination.has_more:
        return None
    if not pagination.next_cursor:
        raise ContractBroken(f"{endpoint}: {PAGINATION}.has_more is true, next_cursor is missing")
    return pagination.next_cursor
