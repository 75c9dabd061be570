"""The Analytics API's answers: typed structs made from the catalogue, and a strict reading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, TypeVar

import msgspec

from dashboard_scraper.date_utils import Window
from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.derived import Oddities, known_or_none
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.flatten import Cell, flatten_unknown
from dashboard_scraper.listing import listed
from dashboard_scraper.metrics import (
    ACCEPTED,
    ANALYTICS_COUNTS,
    FIGURES,
    MAX_COUNT,
    SHOWN,
    USER_HEADER,
    Figures,
    Kind,
    Metric,
    accept_rate,
    parts_of,
)
from dashboard_scraper.pagination import parse_object, refuse_unknown_paging

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
# PostgreSQL has no place for a NUL, and no name has one.
_Name = Annotated[str, msgspec.Meta(min_length=1, pattern=r"\A[^\x00]*\Z")]
_METRICS, _PAGINATION, _METADATA = "metrics", "pagination", "metadata"
_ACTIVE_DAYS = next(metric.name for metric in FIGURES if metric.kind is Kind.DAYS)
IDENTITY = ("user_email", "service_account_name")


def _metrics(*, forbid_unknown_fields: bool) -> Any:
    """A struct with the API's counts in the order of ANALYTICS_COUNTS."""
    fields = [
        (m.name, _Count | msgspec.UnsetType, msgspec.UNSET) if m.optional else (m.name, _Count)
        for m in ANALYTICS_COUNTS
    ]
    return msgspec.defstruct(
        "Metrics", fields, kw_only=True, forbid_unknown_fields=forbid_unknown_fields
    )


def _record(fields: dict[str, Any], *, strict: bool) -> Any:
    """A struct of a record. A `metrics` among the fields gets the struct of the counts."""
    wire: list[Any] = []
    for name, kind in fields.items():
        if name == _METRICS:
            wire.append((name, _metrics(forbid_unknown_fields=strict)))
        elif name in IDENTITY:
            wire.append((name, kind, None))
        else:
            wire.append((name, kind))
    return msgspec.defstruct("Record", wire, kw_only=True, forbid_unknown_fields=strict)


class _Metadata(msgspec.Struct):
    effective_start_date: date
    effective_end_date: date
    returned_user_count: _Count | None = None


class _Pagination(msgspec.Struct):
    has_more: bool
    next_cursor: str | None = None


class Shape:
    """One endpoint's answer: the `key` of its list, and the `fields` of the list's records."""

    def __init__(self, key: str, fields: dict[str, Any], *, paged: bool) -> None:
        self.key = key
        self.paged = paged
        self._known = fields.keys()
        self._usual = msgspec.json.Decoder(list[_record(fields, strict=True)])  # type: ignore[misc]
        self._tolerant = _record(fields, strict=False)

    def decode(
        self, endpoint: str, raw: msgspec.Raw, oddities: Oddities
    ) -> list[tuple[Any, dict[str, Cell]]]:
        """Each record with the fields that it does not know, flattened."""
        try:
            return [(record, {}) for record in self._usual.decode(raw)]
        except UNDECODABLE:
            pass  # an unknown field or a fault: the slow way tells which
        with decoding(f"{endpoint}: {self.key}"):
            records = msgspec.json.decode(raw, type=list[dict[str, Any]])
        return [
            self._tolerated(f"{endpoint}: {self.key}[{place}]", record, oddities)
            for place, record in enumerate(records)
        ]

    def _tolerated(
        self, where: str, record: dict[str, Any], oddities: Oddities
    ) -> tuple[Any, dict[str, Cell]]:
        if _ACTIVE_DAYS in self._known and _ACTIVE_DAYS in record:
            days = record[_ACTIVE_DAYS]
            record[_ACTIVE_DAYS] = known_or_none(Kind.DAYS, _ACTIVE_DAYS, days, oddities)
        with decoding(where):
            known = msgspec.convert(record, self._tolerant)
        more = {name: value for name, value in record.items() if name not in self._known}
        if _METRICS in self._known:
            names = {metric.name for metric in ANALYTICS_COUNTS}
            more[_METRICS] = {n: v for n, v in record[_METRICS].items() if n not in names}
            if not more[_METRICS]:
                del more[_METRICS]
        extra, left_out = flatten_unknown(more, USER_HEADER)
        for name in left_out:
            oddities.left_out(name)
        return known, extra


_IDENTIFIED: dict[str, Any] = dict.fromkeys(IDENTITY, _Name | None)
_COUNTED: dict[str, Any] = {_METRICS: None}
_CREDITS = Annotated[float, msgspec.Meta(ge=0, le=MAX_COUNT)]

USER_ACTIVITY = Shape("users", {**_IDENTIFIED, _ACTIVE_DAYS: _Count | None, **_COUNTED}, paged=True)
DAILY_USAGE = Shape("daily_usage", {"date": date, **_COUNTED}, paged=False)
DAU_COUNT = Shape("daily_active_user_counts", {"date": date, "user_count": _Count}, paged=False)
EDITOR_LANGUAGE = Shape(
    "records", {**_IDENTIFIED, "editor": _Name, "language": _Name, **_COUNTED}, paged=True
)
CREDIT_USAGE = Shape(
    "records", {**_IDENTIFIED, "date": date, "credits_consumed": _CREDITS}, paged=True
)


class Answer(msgspec.Struct, frozen=True):
    """One page: its records with their unknown fields, as they came too, and what is told of it."""

    records: list[tuple[Any, dict[str, Cell]]]
    raw: msgspec.Raw
    next_cursor: str | None
    user_count: int | None


def read_answer(
    endpoint: str, shape: Shape, asked: Window, body: bytes | bytearray, oddities: Oddities
) -> Answer:
    """Take an answer apart; ContractBroken names what is not as it has to be."""
    fields = parse_object(endpoint, body)
    if shape.key not in fields:
        raise ContractBroken(
            f"{endpoint}: {shape.key} is missing; the answer has the keys"
            f" {listed([*map(repr, sorted(fields))]) or 'none'}"
        )
    refuse_unknown_paging(endpoint, fields, {shape.key, _METADATA, _PAGINATION})
    metadata = _field(endpoint, fields, _METADATA, _Metadata)
    effective = (metadata.effective_start_date, metadata.effective_end_date)
    if effective != (asked.start, asked.end):
        raise ContractBroken(
            f"{endpoint}: {_METADATA}: asked for {asked}, answered for {effective[0]} to"
            f" {effective[1]}"
        )
    cursor = _next_cursor(endpoint, fields) if shape.paged or _PAGINATION in fields else None
    if cursor is not None and not shape.paged:
        raise ContractBroken(f"{endpoint}: {_PAGINATION}: it is not known to come in pages")
    records = shape.decode(endpoint, fields[shape.key], oddities)
    return Answer(records, fields[shape.key], cursor, metadata.returned_user_count)


_T = TypeVar("_T")


def _field(endpoint: str, fields: dict[str, msgspec.Raw], name: str, kind: type[_T]) -> _T:
    if name not in fields:
        raise ContractBroken(f"{endpoint}: {name} is missing")
    with decoding(f"{endpoint}: {name}"):
        return msgspec.json.decode(fields[name], type=kind)


def _next_cursor(endpoint: str, fields: dict[str, msgspec.Raw]) -> str | None:
    pagination = _field(endpoint, fields, _PAGINATION, _Pagination)
    told = parse_object(endpoint, fields[_PAGINATION])
    refuse_unknown_paging(endpoint, told, set(_Pagination.__struct_fields__))
    if not pagination.has_more:
        return None
    if not pagination.next_cursor:
        raise ContractBroken(f"{endpoint}: {_PAGINATION}.has_more is true, next_cursor is missing")
    return pagination.next_cursor


def identity(endpoint: str, record: Any) -> tuple[str, bool]:
    """The user's address, or the account's name and True."""
    email, account = record.user_email, record.service_account_name
    if (email is None) == (account is None):
        raise ContractBroken(
            f"{endpoint}: a record has {'none' if email is None else 'both'} of"
            f" {' and '.join(IDENTITY)}; one is due"
        )
    return (email, False) if account is None else (account, True)


def counts_in(record: Any) -> tuple[int | None, ...]:
    """The record's counts in the order of ANALYTICS_COUNTS; None where one is absent."""
    told = msgspec.structs.astuple(record.metrics)
    return tuple(None if count is msgspec.UNSET else count for count in told)


_PLACES = {metric.name: place for place, metric in enumerate(ANALYTICS_COUNTS)}


def _known(metric: Metric, counts: Sequence[int | None]) -> int | None:
    """The count itself, or the sum of its parts where the API has these alone."""
    if metric in ANALYTICS_COUNTS:
        return counts[_PLACES[metric.name]]
    parts = [_known(part, counts) for part in parts_of(metric)]
    return sum(p for p in parts if p is not None) if parts and None not in parts else None


def figures_of(counts: Sequence[int | None], active_days: int | None) -> Figures:
    """The catalogue's figures; those that the API does not tell, nor its counts, are unknown."""
    return tuple(
        (
            _known(metric, counts)
            if metric.kind is Kind.COUNT
            else (
                active_days
                if metric.kind is Kind.DAYS
                else _rate(counts) if metric.kind is Kind.PERCENT else None
            )
        )
        for metric in FIGURES
    )


def _rate(counts: Sequence[int | None]) -> float | None:
    """Accepted of shown completions, rounded as the dashboard does."""
    rate = accept_rate(counts[_PLACES[SHOWN.name]], counts[_PLACES[ACCEPTED.name]])
    return None if rate is None else round(rate, 2)
