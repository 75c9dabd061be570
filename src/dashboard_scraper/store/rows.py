"""From what a source said to the rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, case, cast, func, select

from dashboard_scraper.checks import Difference, closing_differences
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.metrics import Sums, Totals, is_active
from dashboard_scraper.store.backend import Row
from dashboard_scraper.store.schema import DAY_LEDGER, SUM_COLUMNS, TOTAL_COLUMNS, USER_DAY
from dashboard_scraper.usage import DayUsage, UserUsage, sums_of

_encode = msgspec.json.Encoder().encode
_decode_extra = msgspec.json.Decoder(dict[str, Any]).decode
_decode_differences = msgspec.json.Decoder(list[Difference]).decode


class Status(Enum):
    """What became of a day that was fetched; a day without a row in the ledger is missing."""

    COMPLETE = "complete"
    EMPTY = "empty"  # nobody was active


class LedgerDay(msgspec.Struct, frozen=True):
    """The ledger's row of one day.

    `fetched_at` is when the fetch began. `sums` are those of the users' counts, `totals` the
    tenant's own figures. `forgotten` counts the users who were removed since.
    """

    source: str
    day: date
    status: Status
    fetched_at: datetime
    users: int
    active_users: int
    sums: Sums
    totals: Totals | None
    unreconciled: list[Difference]
    forgotten: int


def ledger_row(source: str, usage: DayUsage, fetched_at: datetime) -> dict[str, Any]:
    """What the ledger says of a day that was just fetched."""
    sums = sums_of(usage.users)
    active = sum(is_active(user.figures) for user in usage.users)
    totals = usage.totals or (None,) * len(TOTAL_COLUMNS)
    differences = closing_differences(sums, usage.totals)
    return {
        "source": source,
        "day": usage.day,
        "status": (Status.COMPLETE if active else Status.EMPTY).value,
        "fetched_at": fetched_at,
        "users": len(usage.users),
        "active_users": active,
        **_named(SUM_COLUMNS, sums),
        **_named(TOTAL_COLUMNS, totals),
        "unreconciled": _encode(differences).decode() if differences else None,
        "forgotten": 0,
    }


def _named(columns: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
    return {column.name: value for column, value in zip(columns, values, strict=True)}


def ledger_day(kept: Any) -> LedgerDay:
    """A row of the whole ledger table, as a mapping."""
    totals = tuple(kept[column] for column in TOTAL_COLUMNS)
    unreconciled = kept[DAY_LEDGER.c.unreconciled]
    return LedgerDay(
        source=kept[DAY_LEDGER.c.source],
        day=kept[DAY_LEDGER.c.day],
        status=Status(kept[DAY_LEDGER.c.status]),
        fetched_at=kept[DAY_LEDGER.c.fetched_at],
        users=kept[DAY_LEDGER.c.users],
        active_users=kept[DAY_LEDGER.c.active_users],
        sums=tuple(kept[column] for column in SUM_COLUMNS),
        totals=None if None in totals else totals,
        unreconciled=_decode_differences(unreconciled) if unreconciled else [],
        forgotten=kept[DAY_LEDGER.c.forgotten],
    )


def user_rows(source: str, usage: DayUsage) -> Iterator[Row]:
    """The day's rows, in the order of the table's columns."""
    for user in usage.users:
        if "\0" in user.user:  # PostgreSQL has no place for it, and no address has one
            raise ContractBroken(f"{usage.day}: the user {user.user!r} has a NUL in it")
        extra = _encode(user.extra).decode() if user.extra else None
        yield (source, usage.day, user.user, *user.figures, extra)


def user_usage(row: Any) -> UserUsage:
    """A row of user_login, the figures, and extra."""
    extra = row[-1]
    return UserUsage(row[0], row[1:-1], _decode_extra(extra) if extra else {})


def recounted(
    connection: Connection, source: str, day: date, lost: Sequence[bool]
) -> dict[str, Any]:
    """What the ledger is to say of a day that lost rows; of each, `lost` has whether it was active.

    The sums are those of the rows that are left: one that was unknown may be known now.
    """
    rows = func.count()
    sums = [
        cast(case((func.count(c) == rows, func.coalesce(func.sum(c), 0))), BigInteger)
        for c in (USER_DAY.c[column.name] for column in SUM_COLUMNS)
    ]
    query = select(*sums).where(USER_DAY.c.source == source, USER_DAY.c.day == day)
    return {
        **_named(SUM_COLUMNS, tuple(connection.execute(query).one())),
        "users": DAY_LEDGER.c.users - len(lost),
        "active_users": DAY_LEDGER.c.active_users - sum(lost),
        "forgotten": DAY_LEDGER.c.forgotten + len(lost),
    }
