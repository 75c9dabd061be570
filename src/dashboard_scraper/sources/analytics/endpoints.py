"""The Analytics API's endpoints: their parameters, and typed structs for their records."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import USER_HEADER, Kind
from dashboard_scraper.sources.analytics.fields import COUNTED, DAYS_FIELD, IDENTITY, OPTIONAL
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days
from dashboard_scraper.sources.rest.derived import Oddities, known_or_none
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.loose_records import loose_records
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields
from dashboard_scraper.sources.rest.wire_types import Count, Name, Number

PAGE_SIZE = 100
_CREDIT_PAGE_SIZE = 500

_Identity = Annotated[str, msgspec.Meta(min_length=1)]  # `Names` cleans it and limits its length
_METRICS = "metrics"
_COUNT_NAMES = frozenset(metric.name for metric in COUNTED)


class Reading(msgspec.Struct, frozen=True):
    """What is needed to read one answer: the requested days, its envelope, and where to note odd
    values and unknown fields.
    """

    endpoint: str
    asked: Window
    envelope: Envelope
    oddities: Oddities
    unknown: UnknownFields


def _metrics(*, forbid_unknown_fields: bool) -> Any:
    """A struct with the counts, in the order of COUNTED."""
    fields = [
        ((m.name, Count | msgspec.UnsetType, msgspec.UNSET) if m is OPTIONAL else (m.name, Count))
        for m in COUNTED
    ]
    return msgspec.defstruct(
        "Metrics", fields, kw_only=True, forbid_unknown_fields=forbid_unknown_fields
    )


def _record(fields: dict[str, Any], *, strict: bool) -> Any:
    """A struct for a record. A field `metrics` gets the struct of the counts as its type."""
    wire: list[Any] = []
    for name, kind in fields.items():
        if name == _METRICS:
            wire.append((name, _metrics(forbid_unknown_fields=strict)))
        elif name in IDENTITY:
            wire.append((name, kind | msgspec.UnsetType, msgspec.UNSET))
        else:
            wire.append((name, kind))
    return msgspec.defstruct("Record", wire, kw_only=True, forbid_unknown_fields=strict)


class Endpoint:
    """One endpoint: the `key` of its list of records, their `fields`, and what happens to fields
    that are not among them. Without a `page_size`, its answers are not paged.
    """

    def __init__(
        self,
        name: str,
        key: str,
        fields: dict[str, Any],
        fate: Fate,
        *,
        page_size: int | None = None,
        by_date: bool = False,
        single_day: bool = False,
    ) -> None:
        self.name = name
        self.key = key
        self.page_size = page_size
        self._by_date = by_date
        self._single_day = single_day
        self._fate = fate
        self._known = fields.keys()
        self._usual = msgspec.json.Decoder(list[_record(fields, strict=True)])  # type: ignore[misc]
        self._tolerant = decodable(_record(fields, strict=False))

    def parameters(self, window: Window) -> dict[str, str]:
        """The query parameters of a request for the days of the window."""
        paging = {} if self.page_size is None else {"page_size": f"{self.page_size}"}
        if self._single_day:
            return {"date": f"{window.start}", **paging}
        days = {"start_date": f"{window.start}", "end_date": f"{window.end}"}
        return {**days, **({"by_date": "true"} if self._by_date else {}), **paging}

    def decode(
        self, reading: Reading, raw: msgspec.Raw
    ) -> tuple[list[tuple[Any, dict[str, Cell]]], int]:
        """Each record with its unknown fields, flattened; and, for `refuse_repeated_keys`, the
        number of keys, less one for each object within a record.
        """
        try:
            usual = self._usual.decode(raw)
        except UNDECODABLE:
            pass  # an unknown field or wrong data: the slow way finds out which
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
            metrics = record[_METRICS].items()
            if others := {name: value for name, value in metrics if name not in _COUNT_NAMES}:
                more[_METRICS] = others
        refuse_other_days(where, more, reading.asked)
        return known, reading.unknown.storable(more, USER_HEADER, self._fate) if more else {}


def _keys_of(record: Any) -> int:
    fields = msgspec.structs.astuple(record)
    keys = len(fields) - fields.count(msgspec.UNSET)
    for field in fields:
        if isinstance(field, msgspec.Struct):
            keys += _keys_of(field) - 1
    return keys


_IDENTIFIED: dict[str, Any] = dict.fromkeys(IDENTITY, _Identity | None)
_WITH_METRICS: dict[str, Any] = {_METRICS: None}

USER_ACTIVITY = Endpoint(
    "user-activity",
    "users",
    {**_IDENTIFIED, DAYS_FIELD: Count | None, **_WITH_METRICS},
    Fate.COLUMN,
    page_size=PAGE_SIZE,
)
DAILY_USAGE = Endpoint(
    "daily-usage", "daily_usage", {"date": date, **_WITH_METRICS}, Fate.OF_ORGANIZATION
)
DAU_COUNT = Endpoint(
    "dau-count",
    "daily_active_user_counts",
    {"date": date, "user_count": Count},
    Fate.OF_ORGANIZATION,
)
EDITOR_LANGUAGE = Endpoint(
    "daily-user-activity-by-editor-language",
    "records",
    {**_IDENTIFIED, "editor": Name, "language": Name, **_WITH_METRICS},
    Fate.OF_EDITORS,
    page_size=PAGE_SIZE,
    single_day=True,
)
CREDIT_USAGE = Endpoint(
    "credit-usage-by-user",
    "records",
    {**_IDENTIFIED, "date": date, "credits_consumed": Number},
    Fate.OF_CREDITS,
    page_size=_CREDIT_PAGE_SIZE,
    by_date=True,
)
