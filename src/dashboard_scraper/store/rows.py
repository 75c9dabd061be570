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


class DetailStatus(Enum):
    """What became of figures that go with a day."""

    COMPLETE = "complete"
    UNRECONCILED = "unreconciled"  # they do not add up to the users' figures


class LedgerDay(msgspec.Struct, frozen=True):
    """The ledger's row of one day.

    `fetched_at` is when the fetch began. `sums` are those of the users' counts, `totals` the
    tenant's own figures. `forgotten` counts the users who were removed since. `editor_language` and
    `credits` are None where these were not fetched. `suspicious` says why the figures are in doubt,
    and `held` what a newer version would change that is not in force; in words, without a name.
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
    editor_language: DetailStatus | None = None
    credits: DetailStatus | None = None
    suspicious: str | None = None
    held: str | None = None


def ledger_row(source: str, usage: DayUsage, fetched_at: datetime) -> dict[str, Any]:
    """What the ledger says of a day that was just fetched."""
    sums = sums_of(usage.users)
    active = sum(is_active(user.figures) for user in usage.users)
    totals = usage.totals or {}
    differences = closing_differences(sums, len(usage.users), usage.totals)
    return {
        "source": source,
        "day": usage.day,
        "status": (Status.COMPLETE if active else Status.EMPTY).value,
        "fetched_at": fetched_at,
        "users": len(usage.users),
        "active_users": active,
        **named(SUM_COLUMNS, sums),
        **{column.name: totals.get(name) for name, column in TOTAL_COLUMNS.items()},
        "unreconciled": _encode(differences).decode() if differences else None,
        "forgotten": 0,
        "editor_language": None,
        "credits": None,
        "suspicious": None,
        "held": None,
    }


def named(columns: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
    """The values by the names of their columns."""
    return {column.name: value for column, value in zip(columns, values, strict=True)}


def ledger_day(kept: Any) -> LedgerDay:
    """A row of the whole ledger table, as a mapping."""
    told = {name: kept[column] for name, column in TOTAL_COLUMNS.items()}
    totals = {name: total for name, total in told.items() if total is not None}
    details = [kept[column] for column in (DAY_LEDGER.c.editor_language, DAY_LEDGER.c.credits)]
    unreconciled = kept[DAY_LEDGER.c.unreconciled]
    return LedgerDay(
        source=kept[DAY_LEDGER.c.source],
        day=kept[DAY_LEDGER.c.day],
        status=Status(kept[DAY_LEDGER.c.status]),
        fetched_at=kept[DAY_LEDGER.c.fetched_at],
        users=kept[DAY_LEDGER.c.users],
        active_users=kept[DAY_LEDGER.c.active_users],
        sums=tuple(kept[column] for column in SUM_COLUMNS),
        totals=totals or None,
        unreconciled=_decode_differences(unreconciled) if unreconciled else [],
        forgotten=kept[DAY_LEDGER.c.forgotten],
        editor_language=DetailStatus(details[0]) if details[0] else None,
        credits=DetailStatus(details[1]) if details[1] else None,
        suspicious=kept[DAY_LEDGER.c.suspicious],
        held=kept[DAY_LEDGER.c.held],
    )


def user_rows(source: str, usage: DayUsage) -> Iterator[Row]:
    """The day's rows, in the order of the table's columns."""
    for user in usage.users:
        if "\0" in user.user:  # PostgreSQL has no place for it, and no address has one
            raise ContractBroken(f"{usage.day}: the user {user.user!r} has a NUL in it")
        extra = _encode(user.extra).decode() if user.extra else None
        yield (source, usage.day, user.user, *user.figures, extra, user.service)


def user_usage(row: Any) -> UserUsage:
    """A row of user_login, the figures, extra and service_account."""
    extra = row[-2]
    return UserUsage(row[0], row[1:-2], _decode_extra(extra) if extra else {}, row[-1])


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
        **named(SUM_COLUMNS, tuple(connection.execute(query).one())),
        "users": DAY_LEDGER.c.users - len(lost),
        "active_users": DAY_LEDGER.c.active_users - sum(lost),
        "forgotten": DAY_LEDGER.c.forgotten + len(lost),
    }
