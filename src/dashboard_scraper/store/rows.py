"""Conversion between a source's answer and the rows of the tables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from operator import attrgetter
from typing import Any

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.figures import counts_of, is_active, of_counts
from dashboard_scraper.model.metrics import COUNTS, Figures, Totals
from dashboard_scraper.model.usage import DayUsage, UserUsage, sums_of
from dashboard_scraper.store.backend import Row
from dashboard_scraper.store.empty_days import sums_of_nobody
from dashboard_scraper.store.schema import DAY_LEDGER, SUM_COLUMNS, TOTAL_COLUMNS

_by_name = attrgetter("user", "service")
_ENCODED_AT_ONCE = 1000  # users: encoding a large tenant's counts takes as much memory as the users
_encode = msgspec.json.Encoder().encode
_decode_extra = msgspec.json.Decoder(dict[str, Any]).decode
_decode_differences = msgspec.json.Decoder(list[Difference]).decode


class Status(Enum):
    """The status of a fetched day; a day without a row in the ledger is missing."""

    COMPLETE = "complete"
    EMPTY = "empty"  # nobody was active


class DetailStatus(Enum):
    """The status of a day's details: its editors and languages, or its credits."""

    COMPLETE = "complete"
    UNRECONCILED = "unreconciled"  # they do not add up to the users' figures


class LedgerDay(msgspec.Struct, frozen=True):
    """The ledger's row of one day.

    `fetched_at` is when the fetch began. `sums` are the sums of the users' counts, `totals` the
    tenant's own figures. `forgotten` counts the users who were removed since. `editor_language` and
    `credits` are None if these details were not fetched. `version` numbers the different answers
    for the day. Days on which the same users had the same counts have the same `digest`.
    `suspicious` says why the figures are in doubt, and `held` what the held version would change,
    both in words and without names. `repeats` counts the later days (in UTC) on which the source
    gave the same answer. `accepted_at` is when the version came into force.
    """

    source: str
    day: date
    status: Status
    fetched_at: datetime
    users: int
    active_users: int
    sums: Figures
    totals: Totals | None
    unreconciled: list[Difference]
    forgotten: int
    editor_language: DetailStatus | None = None
    credits: DetailStatus | None = None
    version: int = 1
    digest: str | None = None
    suspicious: str | None = None
    held: str | None = None
    repeats: int = 0
    accepted_at: datetime | None = None


def ledger_row(source: str, usage: DayUsage, fetched_at: datetime) -> dict[str, Any]:
    """The ledger's row for an answer, as the first version of its day."""
    active = len(usage.active)
    totals = usage.totals or {}
    return {
        **dict.fromkeys(column.name for column in DAY_LEDGER.c),
        "source": source,
        "day": usage.day,
        "status": (Status.COMPLETE if active else Status.EMPTY).value,
        "fetched_at": fetched_at,
        "users": len(usage.users),
        "active_users": active,
        **sum_columns(usage.sums if usage.users else sums_of_nobody(source)),
        **{column.name: totals.get(name) for name, column in TOTAL_COLUMNS.items()},
        "unreconciled": _encode(usage.differences).decode() if usage.differences else None,
        "forgotten": 0,
        "version": 1,
        "repeats": 0,
        "accepted_at": fetched_at,
        "digest": digest_of(usage),
    }


def digest_of(usage: DayUsage) -> str:
    """Equal for days on which the same users had the same counts."""
    digest = hashlib.blake2b(b"[", digest_size=16)
    users = sorted(usage.users, key=_by_name)
    for start in range(0, len(users), _ENCODED_AT_ONCE):
        few = users[start : start + _ENCODED_AT_ONCE]
        counts = [(user.user, user.service, counts_of(user.figures)) for user in few]
        digest.update((b"," if start else b"") + _encode(counts)[1:-1])
    digest.update(b"]")
    return digest.hexdigest()


def sum_columns(sums: Figures) -> dict[str, Any]:
    """The sums, by column name."""
    return {column.name: sums[metric] for metric, column in zip(COUNTS, SUM_COLUMNS, strict=True)}


def ledger_day(row: Mapping[Any, Any]) -> LedgerDay:
    """The `LedgerDay` of a row of the ledger, or of an archived version, by column name."""
    stored = {name: row[column.name] for name, column in TOTAL_COLUMNS.items()}
    totals = {name: total for name, total in stored.items() if total is not None}
    details = [DetailStatus(row[name]) if row[name] else None for name in _DETAILS]
    return LedgerDay(
        source=row["source"],
        day=row["day"],
        status=Status(row["status"]),
        fetched_at=row["fetched_at"],
        users=row["users"],
        active_users=row["active_users"],
        sums=of_counts([row[column.name] for column in SUM_COLUMNS]),
        totals=totals or None,
        unreconciled=_decode_differences(row["unreconciled"]) if row["unreconciled"] else [],
        forgotten=row["forgotten"],
        editor_language=details[0],
        credits=details[1],
        version=row["version"],
        digest=row["digest"],
        suspicious=row["suspicious"],
        held=row["held"],
        repeats=row["repeats"],
        accepted_at=row["accepted_at"],
    )


_DETAILS = ("editor_language", "credits")


def user_rows(usage: DayUsage) -> dict[tuple[str], Row]:
    """The day's rows by user, with values in the order of the table's columns after the key."""
    if "\0" in "".join([user.user for user in usage.users]):  # PostgreSQL's text cannot store it
        raise _holds_nul(usage)
    rows = {
        (user.user,): (*values, user.extra_json, user.service)
        for user, values in zip(usage.users, usage.values(), strict=True)
    }
    if len(rows) < len(usage.users):
        raise ContractBroken(f"{usage.day}: a user has two rows")
    return rows


def _holds_nul(usage: DayUsage) -> ContractBroken:
    name = next(user.user for user in usage.users if "\0" in user.user)
    return ContractBroken(f"{usage.day}: the user {name!r} has a NUL in it")


def record_rows(usage: DayUsage) -> dict[tuple[str], tuple[str]]:
    """The records of the answer by user; the tenant's own has an empty name."""
    records = {(user.user,): (user.record,) for user in usage.users if user.record is not None}
    if usage.record is not None:
        records[("",)] = (usage.record,)
    return records


def user_usage(row: Any) -> UserUsage:
    """The usage in a row of user_login, the figures, extra and service_account."""
    extra = row[-2]
    return UserUsage(row[0], Figures(*row[1:-2]), _decode_extra(extra) if extra else {}, row[-1])


def less(row: LedgerDay, lost: Sequence[UserUsage]) -> dict[str, Any]:
    """The ledger's new values for a day from which some users were removed.

    `unreconciled` stays: the tenant's figures still include the removed users, so comparing again
    would find a difference that the source does not have.
    """
    gone = sums_of(lost)
    sums = [
        None if known is None or less is None else known - less
        for known, less in zip(counts_of(row.sums), counts_of(gone), strict=True)
    ]
    return {
        **sum_columns(of_counts(sums)),
        "users": row.users - len(lost),
        "active_users": row.active_users - sum(is_active(user.figures) for user in lost),
        "forgotten": row.forgotten + len(lost),
        "digest": None,
    }
