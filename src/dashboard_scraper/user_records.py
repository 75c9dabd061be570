"""The users' records of an answer, decoded against what the catalogue says of each field."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.flatten import Cell, flatten
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
_MOMENTS = [i for i, metric in enumerate(DASHBOARD_FIGURES) if metric.kind is Kind.MOMENT]
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


def decode_records(
    endpoint: str, page: Page
) -> Iterable[tuple[Any, dict[str, Cell]]] | OtherRecords:
    """Each record as a wire struct, with the fields that it does not know, flattened."""
    try:
        return zip(_USUAL_RECORDS.decode(page.records), itertools.repeat(_NO_EXTRA))
    except UNDECODABLE:
        pass  # an unknown field, another API, or a fault: the slow way tells which
    with decoding(endpoint):
        records = _ANY_RECORDS.decode(page.records)
    if page.key != USERS_KEY and not any(_FIELDS & record.keys() for record in records):
        return OtherRecords(records)
    decoded = []
    for number, record in enumerate(records, start=1):
        with decoding(f"{endpoint}: record {number}"):
            known = msgspec.convert(record, _RECORD)
        extra = flatten({k: v for k, v in record.items() if k not in _FIELDS})
        if taken := extra.keys() & set(USER_HEADER):
            raise ContractBroken(
                f"{endpoint}: record {number}: the unknown field {min(taken)!r} has the name of a"
                " known column"
            )
        decoded.append((known, {name: _storable(cell) for name, cell in extra.items()}))
    return decoded


def _storable(cell: Cell) -> Cell:
    """An integer beyond 64 bits, where the integers of most formats end, as its digits."""
    return str(cell) if isinstance(cell, int) and abs(cell) >= 2**63 else cell


def usage_of(endpoint: str, record: Any, extra: dict[str, Cell], gone: set[int]) -> UserUsage:
    """A wire struct as a user's figures; takes from `gone` the figures that it has a value for."""
    user, *values = msgspec.structs.astuple(record)
    for i in _MOMENTS:
        if values[i] is not None and values[i].tzinfo is not UTC:
            values[i] = _in_utc(endpoint, DASHBOARD_FIGURES[i].dashboard, values[i])
    for i in _PERCENTS:
        if values[i] is msgspec.UNSET:
            values[i] = None
        else:
            gone.discard(i)
    if gone:
        gone.difference_update([i for i in gone if values[i] is not None])
    return UserUsage(user, (*values, *_UNKNOWN), extra)


def _in_utc(endpoint: str, field: str, moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ContractBroken(f"{endpoint}: {field}: {error}") from error
