"""Reading what the store has of a day beside the version in force."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from sqlalchemy import Connection, RowMapping, select

from dashboard_scraper.date_utils import Window
from dashboard_scraper.store.rows import LedgerDay, ledger_day, user_usage
from dashboard_scraper.store.schema import DAY_FETCH, DAY_LEDGER, DAY_VERSION, USER_DAY
from dashboard_scraper.store.versions import DayRows
from dashboard_scraper.usage import UserUsage


class VersionState(Enum):
    """What became of a version that is not in force."""

    SUPERSEDED = "superseded"  # it was in force, until another one was accepted
    HELD = "held"  # it is not believed yet
    REJECTED = "rejected"  # somebody said that it is wrong
    WITHDRAWN = "withdrawn"  # it was held, and the source said something else later


@dataclass(frozen=True, slots=True)
class Change:
    """What a new answer would change: the ledger's rows, and how many people appear in one alone.

    `lost` were active before and are not any more; `gained` are the other way round.
    """

    before: LedgerDay
    after: LedgerDay
    lost: int
    gained: int


@dataclass(frozen=True, slots=True)
class HeldRevision:
    """A version that is not in force, and what it would change.

    `confirmations` counts the later days (in UTC) on which the source gave the same answer.
    """

    change: Change
    confirmations: int


@dataclass(frozen=True, slots=True)
class DayVersion:
    """One version of a day; `state` is None of the one in force.

    `since` is when it came into force or into its state; `fetches` are the moments at which the
    source gave this answer, oldest first.
    """

    ledger: LedgerDay
    state: VersionState | None
    since: datetime
    fetches: list[datetime]


def versions(connection: Connection, source: str, day: date) -> list[DayVersion]:
    """Every version of the day, by their numbers; none where the day is missing."""
    rows = DayRows(connection, source, day)
    fetches: dict[int, list[datetime]] = {}
    fetch = select(DAY_FETCH.c.version, DAY_FETCH.c.fetched_at).where(rows.is_of(DAY_FETCH))
    for version, fetched_at in connection.execute(fetch):
        fetches.setdefault(version, []).append(fetched_at)
    found = []
    for table in (DAY_LEDGER, DAY_VERSION):
        for row in connection.execute(select(table).where(rows.is_of(table))).mappings():
            state = VersionState(row["state"]) if table is DAY_VERSION else None
            since = row["accepted_at"] if state is None else row["state_since"]
            moments = sorted(fetches.get(row["version"], []))
            found.append(DayVersion(ledger_day(row), state, since, moments))
    return sorted(found, key=lambda version: version.ledger.version)


def users_of(
    connection: Connection, ledger: LedgerDay, names: Collection[str] | None = None
) -> list[UserUsage]:
    """The users of any version, by their addresses; only those of the `names`, if any are given."""
    rows = DayRows(connection, ledger.source, ledger.day, names=names)
    content = rows.version(USER_DAY, ledger.version)
    return [user_usage((*key, *row)) for key, row in sorted(content.items())]


def held_revisions(
    connection: Connection, source: str, window: Window | None = None
) -> list[HeldRevision]:
    """What is held, oldest day first; of all time unless a window is given."""
    is_held = (DAY_VERSION.c.source == source) & (DAY_VERSION.c.state == VersionState.HELD.value)
    query = select(DAY_VERSION).where(is_held).order_by(DAY_VERSION.c.day)
    if window:
        query = query.where(DAY_VERSION.c.day.between(window.start, window.end))
    rows = connection.execute(query).mappings().all()
    return [_held_revision(connection, row) for row in rows]


def _held_revision(connection: Connection, held: RowMapping) -> HeldRevision:
    rows = DayRows(connection, held["source"], held["day"])
    ledger = select(DAY_LEDGER).where(rows.is_of(DAY_LEDGER))
    before = ledger_day(connection.execute(ledger).mappings().one())
    fetch = select(DAY_FETCH.c.fetched_at).where(
        rows.is_of(DAY_FETCH), DAY_FETCH.c.version == held["version"]
    )
    since = held["state_since"].date()
    later = {moment.date() for moment in connection.scalars(fetch) if moment.date() > since}
    change = Change(before, ledger_day(held), held["lost_people"], held["gained_people"])
    return HeldRevision(change, len(later))


def last_answers(connection: Connection, source: str, window: Window) -> dict[date, LedgerDay]:
    """What the source last said of each day of the window, in force or not, oldest day first."""
    answers: dict[date, LedgerDay] = {}
    for table in (DAY_LEDGER, DAY_VERSION):
        of_window = (table.c.source == source) & table.c.day.between(window.start, window.end)
        for row in connection.execute(select(table).where(of_window)).mappings():
            answer, known = ledger_day(row), answers.get(row["day"])
            if known is None or _order(known) < _order(answer):
                answers[answer.day] = answer
    return dict(sorted(answers.items()))


def _order(answer: LedgerDay) -> tuple[datetime, int]:
    return answer.fetched_at, answer.version
