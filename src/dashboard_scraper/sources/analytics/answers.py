"""The Analytics API's answers: typed structs made from the catalogue, and a strict reading."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, TypeVar

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import accept_rate, maker
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACTIVE_DAYS,
    BY_NAME,
    MAX_COUNT,
    USER_HEADER,
    Count,
    Figures,
    Kind,
    parts_of,
)
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days
from dashboard_scraper.sources.rest.derived import Oddities, known_or_none
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.loose_records import loose_records
from dashboard_scraper.sources.rest.pagination import commas_beside, parse_object
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
# What `addresses` makes of it is the user's name.
_Identity = Annotated[str, msgspec.Meta(min_length=1)]
# Of an editor or a language. PostgreSQL has no place for a NUL, and no name has one.
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\A[^\x00]*\Z")]
_METRICS, _PAGINATION, _METADATA = "metrics", "pagination", "metadata"
DAYS_FIELD = ACTIVE_DAYS.name
# The API's names are those of the catalogue.
COUNTED = tuple(
    BY_NAME[name]
    for name in (
        "completions_count",
        "completions_accepted",
        "chat_messages",
        "ide_agent_messages",
        "remote_agent_messages",
        "cli_agent_interactive_messages",
        "cli_agent_non_interactive_messages",
        "total_tool_calls",
        "total_modified_lines_of_code",
        "completions_lines_of_code",
        "ide_agent_lines_of_code",
        "remote_agent_lines_of_code",
        "total_messages",
        "completions_suggested_lines_of_code",
        "cli_agent_interactive_lines_of_code",
        "cli_agent_non_interactive_lines_of_code",
    )
)
OPTIONAL = BY_NAME["completions_suggested_lines_of_code"]
"""What may be absent from an answer."""
IDENTITY = ("user_email", "service_account_name")
# What `read_answer` and the client compare themselves; an envelope passes it over.
_USERS_RETURNED = "returned_user_count"
_UNDERSTOOD = (
    f"{_PAGINATION}.has_more",
    f"{_PAGINATION}.next_cursor",
    f"{_METADATA}.{_USERS_RETURNED}",
)


def _metrics(*, forbid_unknown_fields: bool) -> Any:
    """A struct with the counts in the order of COUNTED."""
    fields = [
        (m.name, _Count | msgspec.UnsetType, msgspec.UNSET) if m is OPTIONAL else (m.name, _Count)
        for m in COUNTED
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
            wire.append((name, kind | msgspec.UnsetType, msgspec.UNSET))
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
    """One endpoint's answer: the `key` of its list, the `fields` of the list's records, and what is
    done with those that are not among them.
    """

    def __init__(self, key: str, fields: dict[str, Any], fate: Fate, *, paged: bool) -> None:
        self.key = key
        self.paged = paged
        self._fate = fate
        self._known = fields.keys()
        self._usual = msgspec.json.Decoder(list[_record(fields, strict=True)])  # type: ignore[misc]
        self._tolerant = _record(fields, strict=False)

    def decode(
        self, reading: Reading, raw: msgspec.Raw
    ) -> tuple[list[tuple[Any, dict[str, Cell]]], int]:
        """Each record with the fields that it does not know, flattened, and the number of keys,
        less one for each object within them.
        """
        try:
            usual = self._usual.decode(raw)
        except UNDECODABLE:
            pass  # an unknown field or a fault: the slow way tells which
        else:
            return [(record, {}) for record in usual], sum(map(_keys_of, usual))
        where = f"{reading.endpoint}: {self.key}"
        known = self._known
        records = loose_records(where, raw, known, known & {DAYS_FIELD}, reading.unknown)
        metrics = [record.get(_METRICS) for record in records]
        keys = sum(map(len, records)) + sum(len(m) - 1 for m in metrics if isinstance(m, dict))
        return [
            self._tolerated(reading, f"{where}[{place}]", record)
            for place, record in enumerate(records)
        ], keys

    def _tolerated(
        self, reading: Reading, where: str, record: dict[str, Any]
    ) -> tuple[Any, dict[str, Cell]]:
        if DAYS_FIELD in self._known and DAYS_FIELD in record:
            days = record[DAYS_FIELD]
            record[DAYS_FIELD] = known_or_none(Kind.DAYS, DAYS_FIELD, days, reading.oddities)
        with decoding(where):
            known = msgspec.convert(record, self._tolerant)
        more = {name: value for name, value in record.items() if name not in self._known}
        if _METRICS in self._known:
            names = {metric.name for metric in COUNTED}
            more[_METRICS] = {n: v for n, v in record[_METRICS].items() if n not in names}
            if not more[_METRICS]:
                del more[_METRICS]
        refuse_other_days(where, more, reading.asked)
        return known, reading.unknown.storable(more, USER_HEADER, self._fate) if more else {}


def _keys_of(record: Any) -> int:
    fields = msgspec.structs.astuple(record)
    keys = len(fields) - fields.count(msgspec.UNSET)
    for field in fields:
        if isinstance(field, msgspec.Struct):
            keys += _keys_of(field) - 1
    return keys


@dataclass(frozen=True, slots=True)
class Reading:
    """What reads one answer: for which days, its envelope, and where oddities are noted."""

    endpoint: str
    asked: Window
    envelope: Envelope
    oddities: Oddities
    unknown: UnknownFields


_IDENTIFIED: dict[str, Any] = dict.fromkeys(IDENTITY, _Identity | None)
_WITH_METRICS: dict[str, Any] = {_METRICS: None}
_CREDITS = Annotated[float, msgspec.Meta(ge=0, le=MAX_COUNT)]

USER_ACTIVITY = Shape(
    "users",
    {**_IDENTIFIED, DAYS_FIELD: _Count | None, **_WITH_METRICS},
    Fate.COLUMN,
    paged=True,
)
DAILY_USAGE = Shape(
    "daily_usage", {"date": date, **_WITH_METRICS}, Fate.OF_ORGANIZATION, paged=False
)
DAU_COUNT = Shape(
    "daily_active_user_counts",
    {"date": date, "user_count": _Count},
    Fate.OF_ORGANIZATION,
    paged=False,
)
EDITOR_LANGUAGE = Shape(
    "records",
    {**_IDENTIFIED, "editor": _Name, "language": _Name, **_WITH_METRICS},
    Fate.OF_EDITORS,
    paged=True,
)
CREDIT_USAGE = Shape(
    "records",
    {**_IDENTIFIED, "date": date, "credits_consumed": _CREDITS},
    Fate.OF_CREDITS,
    paged=True,
)


class Answer(msgspec.Struct, frozen=True):
    """One page: its records with their unknown fields, as they came too, and what is told of it."""

    records: list[tuple[Any, dict[str, Cell]]]
    raw: msgspec.Raw
    next_cursor: str | None
    user_count: int | None


def read_answer(reading: Reading, shape: Shape, body: bytes | bytearray) -> Answer:
    """Take an answer apart; ContractBroken names what is not as it has to be."""
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
    cursor = _next_cursor(endpoint, fields) if shape.paged or _PAGINATION in fields else None
    if cursor is not None and not shape.paged:
        raise ContractBroken(f"{endpoint}: {_PAGINATION}: it is not known to come in pages")
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


def identity(endpoint: str, record: Any) -> tuple[str, str]:
    """The field that names the user, and the name as it came: an address, or an account's name."""
    named = [(each, getattr(record, each)) for each in IDENTITY if getattr(record, each)]
    if len(named) != 1:
        raise ContractBroken(
            f"{endpoint}: a record has {'both' if named else 'none'} of"
            f" {' and '.join(IDENTITY)}; one is due"
        )
    return named[0]


def counts_in(record: Any) -> Figures:
    """The record's counts, and no other figure; those that are absent are unknown."""
    return _counts_of(_told(record))


_CLI_LINES = BY_NAME["cli_agent_lines_of_code"]
_cli_lines_of = operator.attrgetter(*(part.name for part in parts_of(_CLI_LINES)))
_counts_of = maker(COUNTED)
_figures_of = maker((*COUNTED, ACTIVE_DAYS, ACCEPT_RATE, _CLI_LINES))


def figures_in(record: Any) -> Figures:
    """All figures of a user's record; those that the API does not tell, nor its counts, are
    unknown. The accept rate is rounded as the dashboard does.
    """
    counts = record.metrics
    rate = accept_rate(counts.completions_count, counts.completions_accepted)
    rounded = None if rate is None else round(rate, 2)
    return _figures_of((*_told(record), record.active_days, rounded, sum(_cli_lines_of(counts))))


def _told(record: Any) -> tuple[Count, ...]:
    told = msgspec.structs.astuple(record.metrics)
    if msgspec.UNSET in told:
        return tuple(None if count is msgspec.UNSET else count for count in told)
    return told
