"""Reading the versions of a day that are not in force, and what they would change."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, select

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.store.rows import LedgerDay, ledger_day, user_usage
from dashboard_scraper.store.schema import DAY_FETCH, DAY_LEDGER, DAY_VERSION, USER_DAY
from dashboard_scraper.store.statements import (
    is_of_day,
    of_source,
    rows_by_day,
    rows_of_day,
    source_values,
)
from dashboard_scraper.store.versions import DayRows


class VersionState(Enum):
    """Why a version is not in force."""

    SUPERSEDED = "superseded"  # it was in force until another version was accepted
    HELD = "held"  # it waits for a decision
    REJECTED = "rejected"  # a user decided that it is wrong
    WITHDRAWN = "withdrawn"  # it was held, until the source gave another answer


class Movement(msgspec.Struct, frozen=True):
    """How much people lose and gain by a new answer, summed over all of them.

    `lost_people` were active before and no longer are; for `gained_people` it is the reverse.
    `lost` and `gained` are counts by metric; a count that moves from one person to another is in
    both, although the day's sum stays the same.
    """

    lost_people: int = 0
    gained_people: int = 0
    lost: dict[str, int] = {}
    gained: dict[str, int] = {}


_FETCHES = select(DAY_FETCH.c.version, DAY_FETCH.c.fetched_at).where(is_of_day(DAY_FETCH))

_decode_movement = msgspec.json.Decoder(Movement).decode


class Change(msgspec.Struct, frozen=True):
    """What a new answer would change: the ledger's row before and after, and the movement."""

    before: LedgerDay
    after: LedgerDay
    movement: Movement


class DayVersion(msgspec.Struct, frozen=True):
    """One version of a day; the `state` of the version in force is None.

    `since` is when it came into force or entered its state; `fetches` are the times at which the
    source gave this answer, oldest first.
    """

    ledger: LedgerDay
    state: VersionState | None
    since: datetime
    fetches: list[datetime]


def versions(connection: Connection, source: str, day: date) -> list[DayVersion]:
    """Every version of the day, by number; empty if the day is missing."""
    rows = DayRows(connection, source, day)
    fetches: dict[int, list[datetime]] = {}
    for version, fetched_at in rows.execute(_FETCHES):
        fetches.setdefault(version, []).append(fetched_at)
    found = []
    for table in (DAY_LEDGER, DAY_VERSION):
        for row in rows.execute(rows_of_day(table)).mappings():
            state = VersionState(row["state"]) if table is DAY_VERSION else None
            since = row["accepted_at"] if state is None else row["state_since"]
            moments = sorted(fetches.get(row["version"], []))
            found.append(DayVersion(ledger_day(row), state, since, moments))
    return sorted(found, key=lambda version: version.ledger.version)


def users_of(
    connection: Connection, ledger: LedgerDay, names: Collection[str] | None = None
) -> list[UserUsage]:
    """The users of any version, sorted by address; with `names`, only these."""
    rows = DayRows(connection, ledger.source, ledger.day, names=names)
    content = rows.version(USER_DAY, ledger.version)
    return [user_usage((*key, *row)) for key, row in sorted(content.items())]


def held_revisions(connection: Connection, source: str, window: Window | None) -> list[Change]:
    """What held versions would change, oldest day first; without a window, for all days."""
    query, values = _held_of(windowed=window is not None), source_values(source, window)
    changes = []
    for held in connection.execute(query, values).mappings().all():
        rows = DayRows(connection, source, held["day"])
        before = ledger_day(rows.execute(rows_of_day(DAY_LEDGER)).mappings().one())
        changes.append(Change(before, ledger_day(held), _decode_movement(held["movement"])))
    return changes


@cache
def _held_of(*, windowed: bool) -> Select[Any]:
    is_held = DAY_VERSION.c.state == VersionState.HELD.value
    query = select(DAY_VERSION).where(is_held).order_by(DAY_VERSION.c.day)
    return of_source(DAY_VERSION, query, windowed=windowed)


def last_answers(connection: Connection, source: str, window: Window) -> dict[date, LedgerDay]:
    """The source's latest answer for each day of the window, in force or not, oldest day first."""
    answers: dict[date, LedgerDay] = {}
    for table in (DAY_LEDGER, DAY_VERSION):
        rows = connection.execute(rows_by_day(table, windowed=True), source_values(source, window))
        for row in rows.mappings():
            answer, known = ledger_day(row), answers.get(row["day"])
            if known is None or _order(known) < _order(answer):
                answers[answer.day] = answer
    return dict(sorted(answers.items()))


def _order(answer: LedgerDay) -> tuple[datetime, int]:
    return answer.fetched_at, answer.version
