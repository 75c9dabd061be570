"""Queries on a snapshot of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import date, datetime
from functools import cache, cached_property
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column, Select, Table, and_, bindparam, func, select

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import maker
from dashboard_scraper.model.metrics import COUNTS, DETAILED, METRICS, Metric
from dashboard_scraper.model.seats import Seat, StoredSeat
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.store import day_people, history, unjudged
from dashboard_scraper.store.cost_reader import CostQueries
from dashboard_scraper.store.day_columns import DayColumns, columns_of, users_of_day
from dashboard_scraper.store.history import Change, DayVersion
from dashboard_scraper.store.notices import ALL, Notice
from dashboard_scraper.store.people_reader import PeopleQueries
from dashboard_scraper.store.rows import LedgerDay, ledger_day, user_usage
from dashboard_scraper.store.runs import NEWEST_ENDED, NEWEST_FIRST, Run
from dashboard_scraper.store.schema import (
    CREDIT_DAY,
    DAY_FETCH,
    DAY_LEDGER,
    DETAILED_COLUMNS,
    EDITOR_LANGUAGE_DAY,
    FORGETS,
    INFO,
    LAST_SUCCESS,
    RECORD_DAY,
    RUN,
    SEATS,
)
from dashboard_scraper.store.statements import of_source, source_values
from dashboard_scraper.store.sum_queries import SumQueries
from dashboard_scraper.store.unversioned import SEATS_OF_SOURCE

_detailed = maker(DETAILED)


class RecordedDay(NamedTuple):
    """For how many users a day has records, whether it has the tenant's record, and one example:
    the tenant's record if there is one, otherwise a user's.
    """

    users: int
    has_tenant: bool
    example: str


class FetchTimes(NamedTuple):
    """When a day was first and last fetched."""

    first: datetime
    last: datetime


# Each is built once: see `statements`.
_SOURCES = select(DAY_LEDGER.c.source).distinct().order_by(DAY_LEDGER.c.source)
_FETCHES = (
    select(DAY_FETCH.c.source, func.min(DAY_FETCH.c.fetched_at), func.max(DAY_FETCH.c.fetched_at))
    .group_by(DAY_FETCH.c.source)
    .order_by(DAY_FETCH.c.source)
)
_FETCHES_AT = of_source(DAY_FETCH, select(func.count())).where(
    DAY_FETCH.c.fetched_at == bindparam("moment")
)
_FETCH_TIMES = of_source(
    DAY_FETCH,
    select(DAY_FETCH.c.day, func.min(DAY_FETCH.c.fetched_at), func.max(DAY_FETCH.c.fetched_at)),
    windowed=True,
).group_by(DAY_FETCH.c.day)
_DAYS = of_source(DAY_LEDGER, select(DAY_LEDGER.c.day)).order_by(DAY_LEDGER.c.day)
_NOTE = select(INFO.c.value).where(INFO.c.name == bindparam("note"))


def _of_a_day(table: Table, *columns: Column[Any], by: tuple[Column[Any], ...]) -> Select[Any]:
    query = of_source(table, select(*columns)).where(table.c.day == bindparam("day"))
    return query.order_by(*by)


_EDITOR_LANGUAGES = _of_a_day(
    EDITOR_LANGUAGE_DAY,
    *(_PLACE := tuple(EDITOR_LANGUAGE_DAY.c)[2:5]),
    *DETAILED_COLUMNS,
    by=_PLACE,
)
_CREDITS, _RECORDS = (
    _of_a_day(table, table.c.user_login, column, by=(table.c.user_login,))
    for table, column in (
        (CREDIT_DAY, CREDIT_DAY.c.credits_consumed),
        (RECORD_DAY, RECORD_DAY.c.record),
    )
)


@cache
def _recorded(*, windowed: bool) -> Select[Any]:
    table = RECORD_DAY
    counted = select(
        table.c.day, func.count().label("count"), func.min(table.c.user_login).label("first")
    )
    days = of_source(table, counted, windowed=windowed).group_by(table.c.day).subquery()
    is_first = and_(table.c.day == days.c.day, table.c.user_login == days.c.first)
    query = select(days.c.day, days.c.count, days.c.first, table.c.record)
    return of_source(table, query.join_from(days, table, is_first)).order_by(days.c.day)


class Reader(CostQueries, PeopleQueries, SumQueries):
    """A snapshot of the store."""

    def sources(self) -> list[str]:
        """The sources from which the store has days, sorted by name."""
        return [row[0] for row in self._all(_SOURCES)]

    def fetches(self) -> dict[str, tuple[datetime, datetime]]:
        """When each source was first and last fetched into the store. Only copies of a store have
        the same first times.
        """
        return {row[0]: (row[1], row[2]) for row in self._all(_FETCHES)}

    def has_fetch(self, source: str, moment: datetime) -> bool:
        """Whether a fetch began at exactly this moment: an earlier copy of the store lacks later
        fetches.
        """
        ((count,),) = self._all(_FETCHES_AT, {**source_values(source), "moment": moment})
        return bool(count)

    def fetch_times(self, source: str, window: Window) -> dict[date, FetchTimes]:
        """When each stored day was fetched, whatever was done with the answers."""
        rows = self._all(_FETCH_TIMES, source_values(source, window))
        return {row[0]: FetchTimes(row[1], row[2]) for row in rows}

    def days(self, source: str) -> list[date]:
        """The stored days, oldest first."""
        return [row[0] for row in self._all(_DAYS, source_values(source))]

    def ledger(self, source: str, window: Window | None = None) -> dict[date, LedgerDay]:
        """The stored days of the window, by default all of them; oldest first."""
        rows = self.ledger_rows(source, window)
        return {day: ledger_day(row) for day, row in rows.items()}

    def ledger_rows(self, source: str, window: Window | None = None) -> dict[date, dict[str, Any]]:
        """The same rows as they are in the table, by column name."""
        return self._by_day(DAY_LEDGER, source, window)

    def judged_ledger(self, source: str, window: Window | None = None) -> dict[date, LedgerDay]:
        """Like `ledger`, but without the mark of days that no run has judged yet: for the run that
        judges.
        """
        return {day: unjudged.unmarked(row) for day, row in self.ledger(source, window).items()}

    def day(self, ledger: LedgerDay) -> DayUsage:
        """A day's users, sorted by address; StoreFailed if they do not match the ledger."""
        users = [user_usage(row) for row in self._of_day(users_of_day(METRICS), ledger)]
        usage = DayUsage(ledger.day, users, ledger.totals, sums_of_nobody=ledger.sums)
        # The sums of a day without users are not compared: the computed ones are 0, but the ledger
        # has NULL for metrics that were added to the catalogue after the day was stored.
        if len(users) != ledger.users or (users and usage.sums != ledger.sums):
            raise self._damaged(ledger.day, "the rows")
        return usage

    def columns(self, ledger: LedgerDay, metrics: Collection[Metric]) -> DayColumns:
        """The same as columns, with the figures of these metrics and of those with a sum in the
        ledger.
        """
        wanted = tuple(m for m in METRICS if m in metrics or ledger.sums[m] is not None)
        values = {"source": ledger.source, "day": ledger.day}
        found = columns_of(wanted, self._as_stored(users_of_day(wanted), values))
        sums = {metric: ledger.sums[metric] for metric in wanted if metric in COUNTS}
        if len(found.names) != ledger.users or (found.names and found.sums != sums):
            raise self._damaged(ledger.day, "the rows")
        return found

    def versions(self, source: str, day: date) -> list[DayVersion]:
        """Every version of a day, by number; empty if the day is missing."""
        with self._explained():
            return history.versions(self._connection, source, day)

    def version(self, ledger: LedgerDay) -> list[UserUsage]:
        """The users of any version of a day, sorted by address."""
        with self._explained():
            return history.users_of(self._connection, ledger)

    def held(self, source: str, window: Window | None = None) -> list[Change]:
        """What held versions would change, oldest day first; by default for all days."""
        with self._explained():
            return history.held_revisions(self._connection, source, window)

    def last_answers(self, source: str, window: Window) -> dict[date, LedgerDay]:
        """The source's latest answer for each day, whether it is in force or not."""
        with self._explained():
            return history.last_answers(self._connection, source, window)

    def damaged_days(self, source: str) -> list[date]:
        """Days whose rows, bitmaps or costs do not match the ledgers or each other; reads every
        row.
        """
        found = self.damaged_costs(source)
        for row in self.ledger(source).values():
            try:
                self.day(row)
                self.people(source, Window(row.day, row.day))
            except StoreFailed as error:
                if error.is_away:
                    raise
                found.append(row.day)
                continue
            with self._explained():
                if not day_people.is_right(self._connection, source, row.day):
                    found.append(row.day)
        return sorted({*found})

    def editor_languages(self, source: str, day: date) -> list[EditorLanguageUsage]:
        """The day's figures by user, editor and language, in that order."""
        rows = self._all(_EDITOR_LANGUAGES, {"source": source, "day": day})
        return [EditorLanguageUsage(row[0], row[1], row[2], _detailed(row[3:])) for row in rows]

    def credits_of(self, source: str, day: date) -> dict[str, float]:
        """The credits that each user consumed on the day."""
        rows = self._all(_CREDITS, {"source": source, "day": day})
        return {row[0]: row[1] for row in rows}

    def records(self, source: str, day: date) -> dict[str, str]:
        """The source's records of the day as JSON, by user; the tenant's own has an empty name."""
        rows = self._all(_RECORDS, {"source": source, "day": day})
        return {row[0]: row[1] for row in rows}

    def recorded(self, source: str, window: Window | None = None) -> dict[date, RecordedDay]:
        """For each stored day with any record, which records there are; by default of all days."""
        query = _recorded(windowed=window is not None)
        return {
            day: RecordedDay(count - (not first), not first, record)
            for day, count, first, record in self._all(query, source_values(source, window))
        }

    def seats(self, source: str) -> list[StoredSeat]:
        """Every seat that the source ever reported, sorted by user."""
        rows = self._all(SEATS_OF_SOURCE, source_values(source))
        return [StoredSeat(Seat(*row[:-3]), *row[-3:]) for row in rows]

    def seats_fetched_at(self, source: str) -> datetime | None:
        """When the source last reported its seats; None if it never did."""
        return self._noted_moment(f"{SEATS}:{source}")

    def runs(self, most: int, source: str | None = None) -> list[Run]:
        """The newest runs, by default of all sources, newest first."""
        found = NEWEST_FIRST if source is None else NEWEST_FIRST.where(RUN.c.source == source)
        return [Run(*row) for row in self._all(found.limit(most))]

    def newest_runs(self) -> list[Run]:
        """The newest ended run of each source, newest first."""
        return [Run(*row) for row in self._all(NEWEST_ENDED)]

    def notices(self) -> list[Notice]:
        """Everything that somebody was ever notified of, or should have been; oldest first."""
        return [Notice(*row) for row in self._all(ALL)]

    def last_success(self, source: str) -> datetime | None:
        """When a run last fetched everything that it should have."""
        return self._noted_moment(f"{LAST_SUCCESS}:{source}")

    def _noted_moment(self, name: str) -> datetime | None:
        moment = self.note(name)
        return datetime.fromisoformat(moment) if moment else None

    def content_of(self, row: LedgerDay) -> str:
        """A digest of what identifies the day's rows, without reading them.

        Equal only if the store has the same version of the day and nobody was removed since.
        """
        content = (
            *(row.source, row.day, row.version, row.accepted_at, row.digest, row.forgotten),
            *(row.users, row.active_users, row.sums, self._forgets),
        )
        return hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()

    @property
    def forgets(self) -> int:
        """A number that grows whenever somebody is removed; 0 if nobody was."""
        return int(self._forgets or 0)

    @cached_property
    def _forgets(self) -> str | None:
        return self.note(FORGETS)

    def note(self, name: str) -> str | None:
        """The value that a run stored under the name for later runs."""
        rows = self._all(_NOTE, {"note": name})
        return rows[0][0] if rows else None
