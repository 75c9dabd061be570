"""Queries on a snapshot of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
)

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import maker
from dashboard_scraper.model.metrics import (
    COUNTS,
    DETAILED,
    FIRST_SEEN,
    LAST_SEEN,
    METRICS,
    REQUIRED,
    Count,
    Figures,
    Kind,
    Metric,
)
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, TenantFigure, UserUsage
from dashboard_scraper.people.people import Spelling
from dashboard_scraper.store import history
from dashboard_scraper.store.history import Change, DayVersion
from dashboard_scraper.store.rows import LedgerDay, ledger_day, user_usage
from dashboard_scraper.store.schema import (
    CREDIT_DAY,
    DAY_LEDGER,
    DETAILED_COLUMNS,
    EDITOR_LANGUAGE_DAY,
    FIGURE_COLUMNS,
    INFO,
    LAST_SUCCESS,
    PERSON,
    TENANT_FIGURE,
    USER_DAY,
)

_detailed = maker(DETAILED)


class SeenUser(NamedTuple):
    """A user with a row in a window, and when they were first and last seen, if known."""

    user: str
    service: bool
    first_seen: datetime | None
    last_seen: datetime | None


class KnownUser(NamedTuple):
    """A user with any row at all: the first day with one, the last day with activity, and when the
    source says that they were first and last seen, if it does.
    """

    user: str
    service: bool
    first_day: date
    last_active: date | None
    first_seen: datetime | None
    last_seen: datetime | None


class ActiveUser(NamedTuple):
    """A user who was active on a day; `areas` says in which of the requested areas."""

    user: str
    service: bool
    areas: tuple[bool | None, ...]


class PlaceSums(NamedTuple):
    """A user's activity in one editor and language: a sum for each of the requested groups."""

    user: str
    editor: str
    language: str
    sums: tuple[Count, ...]


Explained = Callable[[], AbstractContextManager[None]]
"""A context in which errors of the driver become StoreFailed."""


def _any_of(metrics: Iterable[Metric]) -> ColumnElement[bool]:
    return or_(*(USER_DAY.c[metric.name] > 0 for metric in metrics))


# Queries of a single day are built once and run for each day: SQLAlchemy takes longer to build such
# a query than the database to run it.
_IS_OF_DAY = (USER_DAY.c.source == bindparam("source"), USER_DAY.c.day == bindparam("day"))
_USERS_OF_DAY = (
    select(USER_DAY.c.user_login, *FIGURE_COLUMNS, USER_DAY.c.extra, USER_DAY.c.service_account)
    .where(*_IS_OF_DAY)
    .order_by(USER_DAY.c.user_login)
)


def _is_active() -> ColumnElement[bool]:
    """As `figures.is_active` defines it."""
    unknown = or_(*(USER_DAY.c[metric.name].is_(None) for metric in REQUIRED))
    return or_(_any_of(COUNTS), unknown)


@cache
def _activity_of_day(areas: tuple[tuple[Metric, ...], ...]) -> Select[Any]:
    return (
        select(USER_DAY.c.user_login, USER_DAY.c.service_account, *map(_any_of, areas))
        .where(*_IS_OF_DAY)
        .where(_is_active())
    )


@cache
def _sums_of_day(*, service_accounts: bool) -> Select[Any]:
    sums: list[ColumnElement[Any]] = [
        cast(func.sum(column) if metric.kind is Kind.COUNT else null(), BigInteger)
        for metric, column in zip(METRICS, FIGURE_COLUMNS, strict=True)
    ]
    query: Select[Any] = select(*sums).where(*_IS_OF_DAY)
    return query if service_accounts else query.where(USER_DAY.c.service_account == false())


class Reader:
    """A snapshot of the store."""

    def __init__(self, connection: Connection, place: str, explained: Explained) -> None:
        self._connection = connection
        self._place = place
        self._explained = explained

    @property
    def connection(self) -> Connection:
        """The connection with the snapshot's transaction."""
        return self._connection

    def sources(self) -> list[str]:
        """The sources that the store has days from, sorted by name."""
        column = DAY_LEDGER.c.source
        return [row[0] for row in self._all(select(column).distinct().order_by(column))]

    def ledger(self, source: str, window: Window | None = None) -> dict[date, LedgerDay]:
        """The stored days, oldest first; by default all of them."""
        rows = self.ledger_rows(source, window)
        return {day: ledger_day(row) for day, row in rows.items()}

    def ledger_rows(self, source: str, window: Window | None = None) -> dict[date, dict[str, Any]]:
        """The same as the table has it, by column name."""
        query = select(DAY_LEDGER).where(DAY_LEDGER.c.source == source).order_by(DAY_LEDGER.c.day)
        if window:
            query = query.where(DAY_LEDGER.c.day.between(window.start, window.end))
        with self._explained():
            rows = self._connection.execute(query).mappings().all()
        return {row["day"]: {f"{name}": row[name] for name in row} for row in rows}

    def day(self, ledger: LedgerDay) -> DayUsage:
        """A day's users, sorted by address; StoreFailed where they do not match the ledger."""
        users = [user_usage(row) for row in self._all(_USERS_OF_DAY, ledger)]
        usage = DayUsage(ledger.day, users, ledger.totals)
        # Of a day without users the sums are not compared: computed they are 0, and in the ledger
        # NULL for metrics that were added to the catalogue after the day was stored.
        if len(users) != ledger.users or (users and usage.sums != ledger.sums):
            raise StoreFailed(
                f"{self._place}: the rows of {ledger.day} do not match the ledger; restore the"
                " store from a backup, or fetch the day again with --refresh"
            )
        return usage

    def versions(self, source: str, day: date) -> list[DayVersion]:
        """Every version of a day, by number; empty where the day is missing."""
        with self._explained():
            return history.versions(self._connection, source, day)

    def version(self, ledger: LedgerDay) -> list[UserUsage]:
        """The users of any version of a day, sorted by address."""
        with self._explained():
            return history.users_of(self._connection, ledger)

    def held(self, source: str, window: Window | None = None) -> list[Change]:
        """What held versions would change, oldest first; by default of all days."""
        with self._explained():
            return history.held_revisions(self._connection, source, window)

    def last_answers(self, source: str, window: Window) -> dict[date, LedgerDay]:
        """The source's latest answer for each day, whether that is in force or not."""
        with self._explained():
            return history.last_answers(self._connection, source, window)

    def users(self, source: str, window: Window) -> list[str]:
        """Every address with a row in the window."""
        column = USER_DAY.c.user_login
        in_window = USER_DAY.c.day.between(window.start, window.end)
        query = select(column).distinct().where(USER_DAY.c.source == source, in_window)
        return [row[0] for row in self._all(query)]

    def names(self) -> list[str]:
        """Every user name in the store, as a source spelled it."""
        return [row[0] for row in self._all(select(PERSON.c.user_login))]

    def spellings(self, source: str, window: Window) -> list[Spelling]:
        """Every spelling of an address in the window, with its newest day there."""
        name, last = USER_DAY.c.user_login, func.max(USER_DAY.c.day)
        in_window = USER_DAY.c.day.between(window.start, window.end)
        query = select(name, last).where(USER_DAY.c.source == source, in_window).group_by(name)
        return [(row[0], row[1]) for row in self._all(query.order_by(name))]

    def first_days(self, source: str) -> dict[str, date]:
        """Every user of the source, ordered by their first day, then by address."""
        name, first = USER_DAY.c.user_login, func.min(USER_DAY.c.day)
        query = select(name, first).where(USER_DAY.c.source == source).group_by(name)
        return dict(self._all(query.order_by(first, name)))

    def seen(self, source: str, window: Window) -> list[SeenUser]:
        """Every user in the window, sorted by name."""
        name, service = USER_DAY.c.user_login, USER_DAY.c.service_account
        first, last = func.min(USER_DAY.c[FIRST_SEEN.name]), func.max(USER_DAY.c[LAST_SEEN.name])
        query = (
            select(name, service, first, last)
            .where(USER_DAY.c.source == source, USER_DAY.c.day.between(window.start, window.end))
            .group_by(name, service)
            .order_by(name)
        )
        return [SeenUser(*row) for row in self._all(query)]

    def known(self, source: str) -> list[KnownUser]:
        """Every user of the source, sorted by name."""
        table = USER_DAY
        query = (
            select(
                table.c.user_login,
                table.c.service_account,
                func.min(table.c.day),
                func.max(case((_is_active(), table.c.day))),
                func.min(table.c[FIRST_SEEN.name]),
                func.max(table.c[LAST_SEEN.name]),
            )
            .where(table.c.source == source)
            .group_by(table.c.user_login, table.c.service_account)
            .order_by(table.c.user_login)
        )
        return [KnownUser(*row) for row in self._all(query)]

    def activity(self, ledger: LedgerDay, areas: Sequence[Iterable[Metric]]) -> list[ActiveUser]:
        """The users active on a day, as `figures.is_active` defines it. A user is active in an area
        if one of its counts is above 0.
        """
        rows = self._all(_activity_of_day(tuple(map(tuple, areas))), ledger)
        return [ActiveUser(row[0], row[1], row[2:]) for row in rows]

    def figure_sums(self, ledger: LedgerDay, *, service_accounts: bool) -> Figures:
        """The sums of the day's known counts; None where no user's count is known, and for metrics
        that are not counts.
        """
        return Figures(*self._all(_sums_of_day(service_accounts=service_accounts), ledger)[0])

    def tenant_figures(self, source: str) -> list[TenantFigure]:
        """The source's figures of the tenant per period, oldest first."""
        table = TENANT_FIGURE
        query = (
            select(table.c.start_day, table.c.end_day, table.c.metric, table.c.value)
            .where(table.c.source == source)
            .order_by(table.c.start_day, table.c.end_day, table.c.metric)
        )
        return [
            TenantFigure(Window(start, end), metric, msgspec.json.decode(value))
            for start, end, metric, value in self._all(query)
        ]

    def editor_languages(self, source: str, day: date) -> list[EditorLanguageUsage]:
        """The day's figures by user, editor and language, in that order."""
        table = EDITOR_LANGUAGE_DAY
        query = (
            select(table.c.user_login, table.c.editor, table.c.language, *DETAILED_COLUMNS)
            .where(table.c.source == source, table.c.day == day)
            .order_by(table.c.user_login, table.c.editor, table.c.language)
        )
        return [
            EditorLanguageUsage(row[0], row[1], row[2], _detailed(row[3:]))
            for row in self._all(query)
        ]

    def editor_language_sums(
        self, source: str, days: Iterable[date], wholes: Sequence[Iterable[Metric]]
    ) -> list[PlaceSums]:
        """For each user, editor and language the sums over the days: of each of the `wholes`, the
        sum of its metrics, or None where a part is unknown.
        """
        table = EDITOR_LANGUAGE_DAY
        place = (table.c.user_login, table.c.editor, table.c.language)
        # In SQL, x + NULL is NULL, and count() leaves NULL out: so an unknown part shows.
        sums = [sum((table.c[metric.name] for metric in whole), literal(0)) for whole in wholes]
        query = (
            select(
                *place,
                *(
                    cast(case((func.count(each) == func.count(), func.sum(each))), BigInteger)
                    for each in sums
                ),
            )
            .where(table.c.source == source, table.c.day.in_(days))
            .group_by(*place)
            .order_by(*place)
        )
        return [PlaceSums(row[0], row[1], row[2], row[3:]) for row in self._all(query)]

    def credits_of(self, source: str, day: date) -> dict[str, float]:
        """The credits that each user consumed on the day."""
        table = CREDIT_DAY
        query = select(table.c.user_login, table.c.credits_consumed).order_by(table.c.user_login)
        rows = self._all(query.where(table.c.source == source, table.c.day == day))
        return {row[0]: row[1] for row in rows}

    def last_success(self, source: str) -> datetime | None:
        """When a run last fetched everything that it should."""
        moment = self.note(f"{LAST_SUCCESS}:{source}")
        return datetime.fromisoformat(moment) if moment else None

    def note(self, name: str) -> str | None:
        """The value that a run stored under the name for later ones."""
        rows = self._all(select(INFO.c.value).where(INFO.c.name == name))
        return rows[0][0] if rows else None

    def _all(self, query: Any, ledger: LedgerDay | None = None) -> list[Any]:
        """All rows; `ledger` gives the parameters of a query for one day."""
        values = {"source": ledger.source, "day": ledger.day} if ledger else {}
        with self._explained():
            return list(self._connection.execute(query, values).all())
