"""Decodes the user records of a page, with the types that the catalogue has for their fields."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding
from dashboard_scraper.model.addresses import LONGEST, Names, is_plain
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import maker
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import (
    ACTIVE_DAYS,
    FIRST_SEEN,
    LAST_SEEN,
    USER_HEADER,
    Figures,
    Kind,
    Metric,
)
from dashboard_scraper.model.usage import OtherRecords, UserUsage
from dashboard_scraper.sources.dashboard.fields import FIELDS, USER_FIELD
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days, refuse_too_many_days
from dashboard_scraper.sources.rest.derived import Oddities, known_or_none, plausible_moment
from dashboard_scraper.sources.rest.loose_records import loose_records
from dashboard_scraper.sources.rest.pagination import Page
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields
from dashboard_scraper.sources.rest.wire_types import Count

USERS_KEY = "userFeatureStats"
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_TYPES: dict[Kind, Any] = {
    Kind.COUNT: Count,
    Kind.DAYS: Count,
    Kind.PERCENT: _Percent,
    Kind.MOMENT: Annotated[datetime, msgspec.Meta(tz=True)],
}
_FIELDS = frozenset({USER_FIELD, *FIELDS.values()})
_DERIVED = {field: metric.kind for metric, field in FIELDS.items() if metric.kind is not Kind.COUNT}
_PERCENTS = [metric for metric in FIELDS if metric.kind is Kind.PERCENT]
_figures_of = maker(tuple(FIELDS))


def _wire_record(*, required: bool = False, forbid_unknown_fields: bool = False) -> Any:
    """A struct for one user's record, with the fields of the catalogue in the same order."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("user", Annotated[str, msgspec.Meta(min_length=1)])
    ]
    for metric in FIELDS:
        kind = _TYPES[metric.kind] | None
        if required:
            fields.append((metric.name, kind))
        else:
            fields.append((metric.name, kind | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(
        "UserRecord",
        fields,
        rename={"user": USER_FIELD, **{m.name: field for m, field in FIELDS.items()}},
        forbid_unknown_fields=forbid_unknown_fields,
    )


_RECORD = decodable(_wire_record())
_WHOLE_RECORD = _wire_record(required=True, forbid_unknown_fields=True)
_WHOLE_RECORDS = msgspec.json.Decoder(list[_WHOLE_RECORD])  # type: ignore[valid-type]
_KNOWN_RECORDS = msgspec.json.Decoder(list[_wire_record(forbid_unknown_fields=True)])  # type: ignore[misc]
_NO_EXTRA: dict[str, Cell] = {}


class Reading(msgspec.Struct, frozen=True):
    """What is needed to decode the records of one answer: the requested days, the latest plausible
    moment, and where to note odd values, unknown fields and changed names.
    """

    endpoint: str
    asked: Window
    latest: datetime
    oddities: Oddities
    unknown: UnknownFields
    names: Names


def decode_records(
    reading: Reading, page: Page
) -> tuple[list[Any], Iterable[dict[str, Cell]]] | OtherRecords:
    """The records as wire structs, and the unknown fields of each, flattened.

    Tries the strictest and fastest decoder first: almost all pages have every field.
    """
    endpoint = reading.endpoint
    try:
        records = _WHOLE_RECORDS.decode(page.records)
    except UNDECODABLE:
        pass  # a field is missing or unknown, it is another API, or the data are invalid
    else:
        page.refuse_repeated_keys(endpoint, len(records) * len(_FIELDS))
        return records, itertools.repeat(_NO_EXTRA)
    try:
        records = _KNOWN_RECORDS.decode(page.records)
    except UNDECODABLE:
        return _decode_loosely(reading, page)
    page.refuse_repeated_keys(endpoint, sum(map(_fields_of, records)))
    return records, itertools.repeat(_NO_EXTRA)


def _fields_of(record: Any) -> int:
    return len(_FIELDS) - msgspec.structs.astuple(record).count(msgspec.UNSET)


def _decode_loosely(
    reading: Reading, page: Page
) -> tuple[list[Any], list[dict[str, Cell]]] | OtherRecords:
    endpoint = reading.endpoint
    records = loose_records(endpoint, page.records, _FIELDS, _DERIVED, reading.unknown)
    page.refuse_repeated_keys(endpoint, sum(map(len, records)))
    if page.key != USERS_KEY and not any(_FIELDS & record.keys() for record in records):
        return OtherRecords(records)
    decoded, extras = [], []
    for number, record in enumerate(records, start=1):
        where = f"{endpoint}: record {number}"
        for field in _DERIVED.keys() & record.keys():
            record[field] = known_or_none(_DERIVED[field], field, record[field], reading.oddities)
        with decoding(where):
            decoded.append(msgspec.convert(record, _RECORD))
        more = {name: value for name, value in record.items() if name not in _FIELDS}
        refuse_other_days(where, more, reading.asked)
        extra = reading.unknown.storable(more, USER_HEADER) if more else _NO_EXTRA
        extras.append({name: _storable(cell) for name, cell in extra.items()})
    return decoded, extras


def _storable(cell: Cell) -> Cell:
    """Integers of more than 64 bits as text: most formats and stores cannot hold them."""
    return str(cell) if isinstance(cell, int) and abs(cell) >= 2**63 else cell


def usage_of(reading: Reading, record: Any, extra: dict[str, Cell], gone: set[Metric]) -> UserUsage:
    """A wire struct as a user's figures; removes from `gone` the metrics that have a value."""
    if gone:  # a percentage is often null: only a missing field shows that it no longer exists
        present = [m for m in _PERCENTS if getattr(record, m.name) is not msgspec.UNSET]
        gone.difference_update(present)
    user, *values = msgspec.structs.astuple(record)
    if type(record) is not _WHOLE_RECORD:
        values = [None if value is msgspec.UNSET else value for value in values]
    figures = _figures_of(values)
    if figures.first_seen is not None or figures.last_seen is not None:
        figures = _with_plausible_moments(figures, reading)
    if gone:
        gone.difference_update([metric for metric in gone if figures[metric] is not None])
    if not is_plain(user) or len(user) > LONGEST:
        user = reading.names.taken(reading.endpoint, USER_FIELD, user)
    days = figures.active_days
    if days and days > 1:
        field = FIELDS[ACTIVE_DAYS]
        refuse_too_many_days(reading.endpoint, field, user, days, reading.asked)
    return UserUsage(user, figures, extra)


def _with_plausible_moments(figures: Figures, reading: Reading) -> Figures:
    """The figures with implausible moments as unknown.

    If the last day is before the first, one of the two is wrong, so both become unknown.
    """
    first, last = figures.first_seen, figures.last_seen
    if first is not None:
        first = plausible_moment(FIELDS[FIRST_SEEN], first, reading.latest, reading.oddities)
    if last is not None:
        last = plausible_moment(FIELDS[LAST_SEEN], last, reading.latest, reading.oddities)
    if first is not None and last is not None and last < first and last.date() < first.date():
        reading.oddities.note(FIELDS[LAST_SEEN], f"{last.date()}, before {first.date()}")
        first = last = None
    if first is figures.first_seen and last is figures.last_seen:
        return figures
    return msgspec.structs.replace(figures, first_seen=first, last_seen=last)
