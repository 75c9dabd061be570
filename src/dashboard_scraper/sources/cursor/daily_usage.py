"""Reads answers about daily usage strictly: a row for each account and day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import USER_HEADER
from dashboard_scraper.sources.cursor.fields import (
    COUNTED,
    EMAIL,
    IS_ACTIVE,
    REQUIRED_FIELDS,
    SUMMED,
    TEXTS,
    USER_ID,
)
from dashboard_scraper.sources.cursor.moments import first_ms, refuse_other_period
from dashboard_scraper.sources.cursor.numbered_pages import Claims
from dashboard_scraper.sources.cursor.paths import DAILY_USAGE
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.loose_records import loose_records
from dashboard_scraper.sources.rest.pagination import decode_field, parse_page
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields
from dashboard_scraper.sources.rest.wire_types import Count, Text

ROWS, PERIOD, PAGINATION = "data", "period", "pagination"

_Id = Annotated[int, msgspec.Meta(ge=0)] | Annotated[str, msgspec.Meta(min_length=1)]
_OTHERS = tuple(name for name in (*SUMMED, *TEXTS) if name not in REQUIRED_FIELDS)


@decodable
class _Pagination(msgspec.Struct, frozen=True):
    page: int
    pageSize: int  # noqa: N815 - the names on the wire
    totalUsers: int  # noqa: N815
    totalPages: int  # noqa: N815
    hasNextPage: bool  # noqa: N815
    hasPreviousPage: bool  # noqa: N815


_UNDERSTOOD = (PERIOD, *(f"{PAGINATION}.{name}" for name in _Pagination.__struct_fields__))


def _row(*, strict: bool) -> Any:
    """A struct for a row; a row may lack the fields that no metric needs."""
    fields: list[Any] = [
        (USER_ID, _Id),
        ("day", date),
        ("date", int),
        (EMAIL, str | None | msgspec.UnsetType, msgspec.UNSET),
        (IS_ACTIVE, bool | msgspec.UnsetType, msgspec.UNSET),
        *((name, Count) for name in REQUIRED_FIELDS),
        *(
            (name, (Text if name in TEXTS else Count) | None | msgspec.UnsetType, msgspec.UNSET)
            for name in _OTHERS
        ),
    ]
    return msgspec.defstruct("Row", fields, kw_only=True, forbid_unknown_fields=strict)


_USUAL = msgspec.json.Decoder(list[_row(strict=True)])  # type: ignore[misc]
_TOLERANT = decodable(_row(strict=False))
_KNOWN = frozenset(_TOLERANT.__struct_fields__)
_EXTRA = (*SUMMED, *TEXTS)


class AccountDay(msgspec.Struct, frozen=True, gc=False):
    """One row: `name` is the account's e-mail address, or its id if it no longer has one.

    `counts` are in the order of COUNTED. `is_active` is None if the row does not say.
    """

    account: str
    name: str
    day: date
    is_active: bool | None
    counts: tuple[int, ...]
    extra: Mapping[str, Cell]


class UsagePage(msgspec.Struct, frozen=True):
    """A page's rows, their JSON text, and what it claims about its place among pages, if any."""

    rows: list[AccountDay]
    raw: msgspec.Raw
    claims: Claims | None


class UsageReading(msgspec.Struct, frozen=True):
    """What is needed to read an answer: requested days, envelope, and where to note oddities."""

    asked: Window
    envelope: Envelope
    names: Names
    unknown: UnknownFields

    def read(self, body: bytes | bytearray, *, paged: bool) -> UsagePage:
        """Take a page apart; ContractBroken names what differs from the documentation."""
        endpoint = DAILY_USAGE
        page = parse_page(endpoint, ROWS, body)
        refuse_other_period(endpoint, page.fields.get(PERIOD), self.asked)
        claims = None
        if paged:
            if PAGINATION not in page.fields:
                raise ContractBroken(f"{endpoint}: {PAGINATION} is missing")
            found = decode_field(endpoint, PAGINATION, page.fields[PAGINATION], _Pagination)
            claims = Claims(
                found.totalPages,
                found.totalUsers,
                found.page,
                found.pageSize,
                found.hasNextPage,
                found.hasPreviousPage,
            )
        self.envelope.read(page.fields, _UNDERSTOOD if paged else (PERIOD,))
        rows, keys = self._rows(page.records)
        page.refuse_repeated_keys(endpoint, keys)
        return UsagePage(rows, page.records, claims)

    def _rows(self, raw: msgspec.Raw) -> tuple[list[AccountDay], int]:
        """The rows, and the number of their keys."""
        where = f"{DAILY_USAGE}: {ROWS}"
        try:
            usual = _USUAL.decode(raw)
        except UNDECODABLE:
            pass  # an unknown field or wrong data: the slow way finds out which
        else:
            keys = sum(map(_keys_of, usual))
            rows = [self._row(f"{where}[{n}]", row, {}) for n, row in enumerate(usual)]
            return rows, keys
        records = loose_records(where, raw, _KNOWN, (), self.unknown)
        keys = sum(map(len, records))
        return [self._tolerated(f"{where}[{n}]", each) for n, each in enumerate(records)], keys

    def _tolerated(self, where: str, record: dict[str, Any]) -> AccountDay:
        with decoding(where):
            row = msgspec.convert(record, _TOLERANT)
        more = {name: value for name, value in record.items() if name not in _KNOWN}
        if not more:
            return self._row(where, row, {})
        refuse_other_days(where, more, Window(row.day, row.day))
        reserved = (*USER_HEADER, *_EXTRA)
        return self._row(where, row, self.unknown.storable(more, reserved))

    def _row(self, where: str, row: Any, more: Mapping[str, Cell]) -> AccountDay:
        account, email = f"{row.userId}", row.email or ""
        if row.day not in self.asked:
            raise ContractBroken(f"{where}: {self.asked} was requested, the row is of {row.day}")
        if row.date != first_ms(row.day):
            raise ContractBroken(
                f"{where}: date is {row.date}, but {row.day} begins at {first_ms(row.day)}: it is a"
                " day of another time zone than UTC"
            )
        field, spelling = (EMAIL, email.lower()) if email else (USER_ID, account)
        extra = {
            name: value
            for name in _EXTRA
            if (value := getattr(row, name)) not in (None, msgspec.UNSET)
        }
        return AccountDay(
            account,
            self.names.taken(DAILY_USAGE, field, spelling),
            row.day,
            None if row.isActive is msgspec.UNSET else row.isActive,
            tuple(sum(getattr(row, name) for name in fields) for fields in COUNTED.values()),
            {**extra, **more},
        )


def _keys_of(row: Any) -> int:
    fields = msgspec.structs.astuple(row)
    return len(fields) - fields.count(msgspec.UNSET)
