"""Reads one page of the answer about costs, strictly: typed rows, or an error that names the field.

The wire format is known only from few public sources, so anything that differs is refused, unless
no figure can depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.model.costs import (
    BILLED,
    COST_METRICS,
    COSTS_BY_NAME,
    CREDITS,
    ESTIMATED,
    TOKEN_METRICS,
    Account,
    Cost,
    CostFigures,
    CostKind,
    CostMetric,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed
from dashboard_scraper.sources.analytics.amounts import Amounts
from dashboard_scraper.sources.analytics.answers import (
    METADATA,
    PAGING,
    next_cursor,
    records_in,
    required_field,
)
from dashboard_scraper.sources.analytics.fields import IDENTITY
from dashboard_scraper.sources.analytics.paths import COST_ANALYTICS
from dashboard_scraper.sources.rest.amounts import tokens
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days
from dashboard_scraper.sources.rest.currencies import refuse_other_currency
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import commas_beside, parse_object
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.shown import shown_name
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

POINTS = "data_points"
_METRICS, _GROUP = "cost_metrics", "group_by_values"
_RETURNED = "returned_data_point_count"
_UNDERSTOOD = (*PAGING, f"{METADATA}.{_RETURNED}")

OPTIONAL = "base_cost_usd"
"""The only amount that may be missing."""
_AMOUNTS: dict[str, CostMetric] = {
    OPTIONAL: COSTS_BY_NAME["base"],
    "billed_amount_usd": BILLED,
    "estimated_customer_cost_usd": ESTIMATED,
    "credits_consumed": CREDITS,
}
WIRE_METRICS = {**{metric.name: metric for metric in TOKEN_METRICS}, **_AMOUNTS}
"""The API's names of the metrics."""
_WIRE_NAMES = {metric: name for name, metric in WIRE_METRICS.items()}
_IN_ORDER = tuple((_WIRE_NAMES[metric], metric.kind is CostKind.TOKENS) for metric in COST_METRICS)
_REQUIRED = WIRE_METRICS.keys() - {OPTIONAL}

_RESOURCE = ("resource_type", "resource_display_name")
_GROUP_KEYS = {*IDENTITY, *_RESOURCE}
_LONGEST_RESOURCE = 200


@decodable
class _Metadata(msgspec.Struct):
    effective_start_date: date
    effective_end_date: date
    returned_data_point_count: int


class _Point(msgspec.Struct, forbid_unknown_fields=True):
    start_date: date
    end_date: date
    cost_metrics: dict[str, msgspec.Raw]
    group_by_values: dict[str, str | None] | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def keys(self) -> int:
        """The number of its keys, less one for each object within it that is not empty."""
        count = len(self.__struct_fields__) - (self.group_by_values is msgspec.UNSET)
        return count + sum(
            len(each) - 1 for each in (self.cost_metrics, self.group_by_values) if each
        )


_POINT_FIELDS = set(_Point.__struct_fields__)
_USUAL = msgspec.json.Decoder(list[_Point])
_RAW_POINTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_POINT = msgspec.json.Decoder(_Point)
_ANYTHING = msgspec.json.Decoder()


class Row(msgspec.Struct, frozen=True):
    """A data point: its day, and what it belongs to unless it is for the whole day."""

    where: str
    day: date
    group: Mapping[str, str | None]
    figures: CostFigures


class CostPage(msgspec.Struct, frozen=True):
    """One page: its rows, their JSON text, and the cursor after it."""

    rows: list[Row]
    raw: msgspec.Raw
    next_cursor: str | None


class CostReading(msgspec.Struct, frozen=True):
    """What is needed to read an answer: requested days, envelope, and where to note oddities."""

    asked: Window
    envelope: Envelope
    amounts: Amounts
    unknown: UnknownFields

    def read(self, body: bytes | bytearray) -> CostPage:
        """Take a page apart; ContractBroken names what differs from the description."""
        endpoint = COST_ANALYTICS
        fields = parse_object(endpoint, body)
        raw = records_in(endpoint, fields, POINTS)
        commas = commas_beside(endpoint, body, fields)
        metadata = required_field(endpoint, fields, METADATA, _Metadata)
        cursor = next_cursor(endpoint, fields)
        currencies = refuse_other_currency(endpoint, fields)
        self.envelope.read(fields, (*_UNDERSTOOD, *currencies))
        points = self._points(f"{endpoint}: {POINTS}", raw)
        if commas != max(0, sum(point.keys for point in points) - 1):
            refuse_repeated_keys(endpoint, body)
        if metadata.returned_data_point_count != len(points):
            raise ContractBroken(
                f"{endpoint}: {METADATA}.{_RETURNED} is {metadata.returned_data_point_count}, but"
                f" {len(points)} came on this page"
            )
        self.envelope.count(len(points))
        rows = [
            self._row(f"{endpoint}: {POINTS}[{place}]", point) for place, point in enumerate(points)
        ]
        return CostPage(rows, raw, cursor)

    def _points(self, where: str, raw: msgspec.Raw) -> list[_Point]:
        try:
            return _USUAL.decode(raw)
        except UNDECODABLE:
            pass  # an unknown field or wrong data: the slow way finds out which
        with decoding(where):
            records = _RAW_POINTS.decode(raw)
        return [
            self._tolerated(f"{where}[{place}]", record) for place, record in enumerate(records)
        ]

    def _tolerated(self, where: str, record: dict[str, msgspec.Raw]) -> _Point:
        self._judge(where, {n: raw for n, raw in record.items() if n not in _POINT_FIELDS})
        known = {name: raw for name, raw in record.items() if name in _POINT_FIELDS}
        with decoding(where):
            return _POINT.decode(msgspec.json.encode(known))

    def _judge(self, where: str, fields: Mapping[str, msgspec.Raw]) -> None:
        """Raise ContractBroken if an unknown field says that the others are not what they seem."""
        currencies = refuse_other_currency(where, fields)
        values: dict[str, Any] = {}
        for name, raw in fields.items():
            try:
                values[name] = _ANYTHING.decode(raw)
            except UNDECODABLE:  # such as a number out of range
                continue
        refuse_other_days(where, values, self.asked)
        self.unknown.note(Fate.OF_COSTS, fields.keys() - {*currencies})

    def _row(self, where: str, point: _Point) -> Row:
        if point.start_date != point.end_date:
            raise ContractBroken(
                f"{where}: start_date is {point.start_date}, end_date is {point.end_date}; each"
                " must be a single day"
            )
        if point.start_date not in self.asked:
            raise ContractBroken(
                f"{where}: {self.asked} was requested, the answer has {point.start_date} too"
            )
        figures = self._figures(f"{where}.{_METRICS}", point.cost_metrics)
        return Row(where, point.start_date, point.group_by_values or {}, figures)

    def _figures(self, where: str, metrics: dict[str, msgspec.Raw]) -> CostFigures:
        if metrics.keys() != WIRE_METRICS.keys():
            unknown = metrics.keys() - WIRE_METRICS.keys()
            if missing := _REQUIRED - metrics.keys():
                raise ContractBroken(
                    f"{where}: {listed(sorted(missing))} is missing; unknown fields there:"
                    f" {listed([shown_name(name) for name in sorted(unknown)]) or 'none'}"
                )
            if unknown:
                self._judge(where, {name: metrics[name] for name in unknown})
        values: list[Any] = []
        for name, is_tokens in _IN_ORDER:
            if name not in metrics:
                values.append(None)
            elif is_tokens:
                values.append(tokens(where, name, metrics[name]))
            else:
                values.append(self.amounts.amount(where, name, metrics[name]))
        return CostFigures(*values)


def refuse_group(row: Row) -> None:
    """Raise ContractBroken if a row of whole days says that it belongs to something else."""
    if row.group:
        raise ContractBroken(
            f"{row.where}.{_GROUP}: {listed(sorted(map(shown_name, row.group)))} was not asked for:"
            " this is not the whole day"
        )


def cost_of(row: Row, names: Names) -> Cost:
    """The cost in a row by user and resource."""
    where = f"{row.where}.{_GROUP}"
    if unknown := row.group.keys() - _GROUP_KEYS:
        raise ContractBroken(
            f"{where}: {listed([shown_name(name) for name in sorted(unknown)])} is unknown, so"
            " it is unclear what the row is about"
        )
    user, account = _identity(where, row.group, names)
    kind, name = (_resource(where, field, row.group.get(field)) for field in _RESOURCE)
    return Cost(user, account, kind, name, row.figures)


def _identity(where: str, group: Mapping[str, str | None], names: Names) -> tuple[str, Account]:
    email, service = (group.get(field) or "" for field in IDENTITY)
    if email and service:
        raise ContractBroken(f"{where}: a row has both of {' and '.join(IDENTITY)}")
    if email:
        return names.taken(COST_ANALYTICS, IDENTITY[0], email), Account.PERSON
    if service:
        return names.taken(COST_ANALYTICS, IDENTITY[1], service), Account.SERVICE_ACCOUNT
    return "", Account.UNATTRIBUTED


def _resource(where: str, field: str, name: str | None) -> str:
    if not name:
        raise ContractBroken(f"{where}: {field} is {'empty' if name == '' else 'missing'}")
    if "\x00" in name:  # PostgreSQL cannot store NUL in a text
        raise ContractBroken(f"{where}: {field} has a NUL in it")
    if len(name) > _LONGEST_RESOURCE:
        raise ContractBroken(
            f"{where}: {field} has {len(name):,} characters; a name has at most {_LONGEST_RESOURCE}"
        )
    return name
