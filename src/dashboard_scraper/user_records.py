"""The users' records of an answer, decoded against what the catalogue says of each field."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.derived import Oddities, known_or_none, plausible_moment
from dashboard_scraper.flatten import Cell, flatten_unknown
from dashboard_scraper.metrics import (
    DASHBOARD_FIGURES,
    FIGURES,
    MAX_COUNT,
    USER_FIELD,
    USER_HEADER,
    Kind,
)
from dashboard_scraper.pagination import Page
from dashboard_scraper.usage import OtherRecords, UserUsage

USERS_KEY = "userFeatureStats"
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_TYPES: dict[Kind, Any] = {
    Kind.COUNT: Count,
    Kind.DAYS: Count,
    Kind.PERCENT: _Percent,
    Kind.MOMENT: Annotated[datetime, msgspec.Meta(tz=True)],
}
_FIELDS = frozenset({USER_FIELD, *(metric.dashboard for metric in DASHBOARD_FIGURES)})

# The dashboard's figures are the catalogue's first; it does not know those that follow.
_DERIVED = {m.dashboard: m.kind for m in DASHBOARD_FIGURES if m.kind is not Kind.COUNT}
_FIRST_SEEN, _LAST_SEEN = _MOMENTS = [
    i for i, metric in enumerate(DASHBOARD_FIGURES) if metric.kind is Kind.MOMENT
]
_PERCENTS = [i for i, metric in enumerate(DASHBOARD_FIGURES) if metric.kind is Kind.PERCENT]
_UNKNOWN = (None,) * (len(FIGURES) - len(DASHBOARD_FIGURES))


def _wire_record(*, forbid_unknown_fields: bool) -> Any:
    """A struct of one user's record, made from the catalogue, with its fields in that order."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("user", Annotated[str, msgspec.Meta(min_length=1)])
    ]
    for metric in DASHBOARD_FIGURES:
        kind, default = _TYPES[metric.kind] | None, None
        if metric.kind is Kind.PERCENT:  # null is usual: only its absence tells that it is gone
            kind, default = kind | msgspec.UnsetType, msgspec.UNSET
        fields.append((metric.name, kind, default))
    return msgspec.defstruct(
        "UserRecord",
        fields,
        rename={"user": USER_FIELD, **{m.name: m.dashboard for m in DASHBOARD_FIGURES}},
        forbid_unknown_fields=forbid_unknown_fields,
    )


_RECORD = _wire_record(forbid_unknown_fields=False)
_USUAL_RECORDS = msgspec.json.Decoder(list[_wire_record(forbid_unknown_fields=True)])  # type: ignore[misc]
_NO_EXTRA: dict[str, Cell] = {}
_ANY_RECORDS = msgspec.json.Decoder(list[dict[str, Any]])
_RAW_RECORDS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ANYTHING = msgspec.json.Decoder()


def decode_records(
    endpoint: str, page: Page, oddities: Oddities
) -> Iterable[tuple[Any, dict[str, Cell]]] | OtherRecords:
    """Each record as a wire struct, with the fields that it does not know, flattened."""
    try:
        return zip(_USUAL_RECORDS.decode(page.records), itertools.repeat(_NO_EXTRA))
    except UNDECODABLE:
        pass  # an unknown field, another API, or a fault: the slow way tells which
    records = list(_any_records(endpoint, page.records))
    if page.key != USERS_KEY and not any(_FIELDS & record.keys() for record in records):
        return OtherRecords(records)
    decoded = []
    for number, record in enumerate(records, start=1):
        for field in _DERIVED.keys() & record.keys():
            record[field] = known_or_none(_DERIVED[field], field, record[field], oddities)
        with decoding(f"{endpoint}: record {number}"):
            known = msgspec.convert(record, _RECORD)
        more = {name: value for name, value in record.items() if name not in _FIELDS}
        extra, left_out = flatten_unknown(more, USER_HEADER)
        for name in left_out:
            oddities.left_out(name)
        decoded.append((known, {name: _storable(cell) for name, cell in extra.items()}))
    return decoded


def _any_records(endpoint: str, text: msgspec.Raw) -> Iterator[dict[str, Any]]:
    """A number beyond all numbers fails the whole text, and yet only its own field is to blame."""
    try:
        yield from _ANY_RECORDS.decode(text)
    except UNDECODABLE:
        with decoding(endpoint):
            records = _RAW_RECORDS.decode(text)
        for number, record in enumerate(records, start=1):
            yield {
                name: _decoded(f"{endpoint}: record {number}: {name}", name, raw)
                for name, raw in record.items()
            }


def _decoded(where: str, name: str, raw: msgspec.Raw) -> Any:
    with decoding(where):
        try:
            return _ANYTHING.decode(raw)
        except UNDECODABLE:
            if name not in _DERIVED:
                raise
            return bytes(raw).decode(errors="replace")


def _storable(cell: Cell) -> Cell:
    """An integer beyond 64 bits, where the integers of most formats end, as its digits."""
    return str(cell) if isinstance(cell, int) and abs(cell) >= 2**63 else cell


def usage_of(
    record: Any, extra: dict[str, Cell], gone: set[int], now: datetime, oddities: Oddities
) -> UserUsage:
    """A wire struct as a user's figures; takes from `gone` the figures that it has a value for."""
    user, *values = msgspec.structs.astuple(record)
    for i in _MOMENTS:
        if values[i] is not None:
            field = DASHBOARD_FIGURES[i].dashboard
            values[i] = plausible_moment(field, values[i], now, oddities)
    _refuse_reversed(values, oddities)
    for i in _PERCENTS:
        if values[i] is msgspec.UNSET:
            values[i] = None
        else:
            gone.discard(i)
    if gone:
        gone.difference_update([i for i in gone if values[i] is not None])
    return UserUsage(user, (*values, *_UNKNOWN), extra)


def _refuse_reversed(values: list[Any], oddities: Oddities) -> None:
    """Who was seen last on a day before the first: one of the two is wrong, so neither is known."""
    first, last = values[_FIRST_SEEN], values[_LAST_SEEN]
    if first is not None and last is not None and last < first and last.date() < first.date():
        field = DASHBOARD_FIGURES[_LAST_SEEN].dashboard
        oddities.note(field, f"{last.date()}, before {first.date()}")
        values[_FIRST_SEEN] = values[_LAST_SEEN] = None
