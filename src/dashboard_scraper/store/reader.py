"""Queries on a snapshot of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
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
from dashboard_scraper.model.figures import maker, of_counts
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
from dashboard_scraper.store import day_people, history
from dashboard_scraper.store.cost_reader import CostQueries
from dashboard_scraper.store.day_people import DayPeople, bits_in, from_bytes, new_on
from dashboard_scraper.store.history import Change, DayVersion
from dashboard_scraper.store.rows import LedgerDay, ledger_day, user_usage
from dashboard_scraper.store.schema import (
    CREDIT_DAY,
    DAY_LEDGER,
    DAY_PEOPLE,
    DETAILED_COLUMNS,
    EDITOR_LANGUAGE_DAY,
    FIGURE_COLUMNS,
    FORGETS,
    INFO,
    LAST_SUCCESS,
    PERSON,
    SUM_COLUMNS,
    TENANT_FIGURE,
    USER_DAY,
)

_detailed = maker(DETAILED)
_COUNT_COLUMNS = tuple(USER_DAY.c[metric.name] for metric in COUNTS)
_NOTHING: Mapping[Metric, Metric] = MappingProxyType({})


class KnownUser(NamedTuple):
    """A user with any row at all, of whom `service` says whether all rows are a service account's:
    the first day with one, the last with activity, and when the newest row says that they were
    first and last seen, if it does.
    """

    user: str
    service: bool
    first_day: date
    last_active: date | None
    first_seen: datetime | None
    last_seen: datetime | None


class UserSums(NamedTuple):
    """A user's sums over days, in the order of COUNTS: None where one of the days is unknown.
    `known` are the sums without these days.
    """

    user: str
    sums: tuple[Count, ...]
    known: tuple[int, ...]


class OpenSum(NamedTuple):
    """A user-day whose total differs from the sum of its parts."""

    day: date
    user: str
    total: int
    parts: int


class PlaceSums(NamedTuple):
    """A user's activity in one editor and language: a sum for each of the requested groups."""

    user: str
    editor: str
    language: str
    sums: tuple[Count, ...]


_NAMES = 500
"""In one query."""

Explained = Callable[[], AbstractContextManager[None]]
"""A context in which errors of the driver become StoreFailed."""


def _any_of(metrics: Iterable[Metric]) -> ColumnElement[bool]:
    return or_(*(USER_DAY.c[metric.name] > 0 for metric in metrics))


# Queries of a single day, and conditions and sums of many columns, are built once: SQLAlchemy takes
# longer to build them than the database to run them.
_IS_OF_DAY = (USER_DAY.c.source == bindparam("source"), USER_DAY.c.day == bindparam("day"))
_USERS_OF_DAY = (
    select(USER_DAY.c.user_login, *FIGURE_COLUMNS, USER_DAY.c.extra, USER_DAY.c.service_account)
    .where(*_IS_OF_DAY)
    .order_by(USER_DAY.c.user_login)
)


@cache
def _is_active() -> ColumnElement[bool]:
    """As `figures.is_active` defines it."""
    unknown = or_(*(USER_DAY.c[metric.name].is_(None) for metric in REQUIRED))
    return or_(_any_of(COUNTS), unknown)


def _sum_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Cast, since PostgreSQL's sum of integers is a decimal number."""
    return cast(func.sum(column), BigInteger)


@cache
def _sums_of(columns: tuple[Column[Any], ...]) -> tuple[ColumnElement[Any], ...]:
    """The sums of what is known."""
    return tuple(_sum_of(column) for column in columns)


@cache
def _whole_sums_of(columns: tuple[Column[Any], ...]) -> tuple[ColumnElement[Any], ...]:
    """The sums, NULL where a value is unknown."""
    return tuple(case((func.count(c) == func.count(), _sum_of(c))) for c in columns)


@cache
def _are_unknown(columns: tuple[Column[Any], ...]) -> tuple[ColumnElement[bool], ...]:
    """Whether a value of the column is unknown."""
    return tuple(func.count() > func.count(column) for column in columns)


@cache
def _sums_of_day(
    at_least: tuple[tuple[Metric, Metric], ...], *, service_accounts: bool
) -> Select[Any]:
    others = dict(at_least)
    sums: list[ColumnElement[Any]] = []
    for metric, column in zip(METRICS, FIGURE_COLUMNS, strict=True):
        known: ColumnElement[Any] = column
        if metric in others:
            known = func.coalesce(column, USER_DAY.c[others[metric].name])
        is_count = metric.kind is Kind.COUNT
        sums.append(_sum_of(known) if is_count else cast(null(), BigInteger))
    query: Select[Any] = select(*sums).where(*_IS_OF_DAY)
    return query if service_accounts else query.where(USER_DAY.c.service_account == false())


@cache
def _group_sums_of_day(
    groups: tuple[tuple[Metric, ...], ...], *, service_accounts: bool
) -> Select[Any]:
    sums = [
        cast(sum((func.coalesce(USER_DAY.c[m.name], 0) for m in group), literal(0)), BigInteger)
        for group in groups
    ]
    query = select(USER_DAY.c.user_login, *sums).where(*_IS_OF_DAY).where(_is_active())
    return query if service_accounts else query.where(USER_DAY.c.service_account == false())


def _active_on(
    source: str, days: Collection[date], *, service_accounts: bool
) -> list[ColumnElement[bool]]:
    """The conditions for the days' rows with activity."""
    found = [USER_DAY.c.source == source, USER_DAY.c.day.in_(days), _is_active()]
    return found if service_accounts else [*found, USER_DAY.c.service_account == false()]


def _in_areas(
    areas: Sequence[Iterable[Metric]], metrics: Sequence[Metric], counted: Sequence[int]
) -> tuple[int, ...]:
    """For each area, the bitmap of those with more than 0 in one of its metrics."""
    found = []
    for area in areas:
        active = 0
        for metric in area:
            active |= counted[metrics.index(metric)]
        found.append(active)
    return tuple(found)


class Reader(CostQueries):
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

    def days(self, source: str) -> list[date]:
        """The stored days, oldest first."""
        day = DAY_LEDGER.c.day
        query = select(day).where(DAY_LEDGER.c.source == source).order_by(day)
        return [row[0] for row in self._all(query)]

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
            raise self._damaged(ledger.day, "the rows")
        return usage

    def _damaged(self, day: date, what: str) -> StoreFailed:
        return StoreFailed(
            f"{self._place}: {what} of {day} do not match the ledger; restore the store from a"
            " backup, or fetch the day again with --refresh"
        )

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
        listed = 0
        for day in self.people(source, window).values():
            listed |= day.listed
        return self.names_of(listed)

    def names(self) -> list[str]:
        """Every user name in the store, as a source spelled it."""
        return [row[0] for row in self._all(select(PERSON.c.user_login))]

    def spellings(self, source: str, window: Window) -> list[Spelling]:
        """Every spelling of an address in the window, with its newest day there."""
        newest_first = reversed(self.people(source, window).items())
        return [
            (name, day)
            for day, new in new_on((day, people.listed) for day, people in newest_first)
            for name in self.names_of(new)
        ]

    def first_days(self, source: str) -> dict[str, date]:
        """Every user of the source, ordered by their first day, then by address."""
        listed = ((day, people.listed) for day, people in self.people(source).items())
        return self._days_of_names(new_on(listed))

    def people(
        self,
        source: str,
        window: Window | None = None,
        areas: Sequence[Iterable[Metric]] = (),
    ) -> dict[date, DayPeople]:
        """Who had a row and who was active on each stored day, oldest first; by default on all.

        Somebody is active in an area if one of its counts is above 0. Raises StoreFailed where the
        bitmaps do not match the ledger.
        """
        ledger, table = DAY_LEDGER.c, DAY_PEOPLE
        metrics = list(dict.fromkeys(metric for area in areas for metric in area))
        query = (
            select(
                ledger.day,
                ledger.users,
                ledger.active_users,
                *(table.c.listed, table.c.service, table.c.active),
                *(table.c[metric.name] for metric in metrics),
            )
            .outerjoin_from(
                DAY_LEDGER, table, (table.c.source == ledger.source) & (table.c.day == ledger.day)
            )
            .where(ledger.source == source)
            .order_by(ledger.day)
        )
        if window:
            query = query.where(ledger.day.between(window.start, window.end))
        found = {}
        for day, users, active_users, *bitmaps in self._all(query):
            if None in bitmaps:
                raise self._damaged(day, "the bitmaps")
            listed, service, active, *counted = map(from_bytes, bitmaps)
            if (listed.bit_count(), active.bit_count()) != (users, active_users):
                raise self._damaged(day, "the bitmaps")
            found[day] = DayPeople(listed, service, active, _in_areas(areas, metrics, counted))
        return found

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

    def names_of(self, bitmap: int) -> list[str]:
        """The names that a bitmap stands for, in alphabetical order."""
        return sorted(self.name_of_bit[number] for number in bits_in(bitmap))

    @cached_property
    def name_of_bit(self) -> dict[int, str]:
        """The name that each bit of a bitmap stands for."""
        with self._explained():
            return {number: name for name, number in day_people.numbers(self._connection).items()}

    def known(self, source: str) -> list[KnownUser]:
        """Every user of the source, sorted by name."""
        people = self.people(source)
        newest_first = [*reversed(people.items())]
        not_service = {
            name
            for _, new in new_on((day, p.listed & ~p.service) for day, p in newest_first)
            for name in self.names_of(new)
        }
        last = self._days_of_names(new_on((day, each.active) for day, each in newest_first))
        first = self.first_days(source)
        found = []
        for day, newest in new_on((day, each.listed) for day, each in newest_first):
            names = self.names_of(newest)
            # Most people have their newest row on the newest day, all of whose rows are read.
            times = self._seen_on(source, day, None if newest == people[day].listed else names)
            found += [
                KnownUser(name, name not in not_service, first[name], last.get(name), *times[name])
                for name in names
            ]
        return sorted(found)

    def _days_of_names(self, days: Iterable[tuple[date, int]]) -> dict[str, date]:
        return {name: day for day, bitmap in days for name in self.names_of(bitmap)}

    def _seen_on(
        self, source: str, day: date, names: list[str] | None
    ) -> dict[str, tuple[datetime | None, datetime | None]]:
        """When these users (None: all) were first and last seen, as their rows of the day say."""
        query = select(
            USER_DAY.c.user_login, USER_DAY.c[FIRST_SEEN.name], USER_DAY.c[LAST_SEEN.name]
        ).where(USER_DAY.c.source == source, USER_DAY.c.day == day)
        if names is None:
            rows = self._all(query)
        else:
            chunks = (names[at : at + _NAMES] for at in range(0, len(names), _NAMES))
            chosen = (query.where(USER_DAY.c.user_login.in_(chunk)) for chunk in chunks)
            rows = [row for part in chosen for row in self._all(part)]
        return {row[0]: (row[1], row[2]) for row in rows}

    def figure_sums(
        self,
        ledger: LedgerDay,
        *,
        service_accounts: bool,
        at_least: Mapping[Metric, Metric] = _NOTHING,
    ) -> Figures:
        """The sums of the day's known counts; None where no user's count is known, and for metrics
        that are not counts. A metric in `at_least` counts as that one for users of whom it is
        unknown.
        """
        query = _sums_of_day(tuple(at_least.items()), service_accounts=service_accounts)
        return Figures(*self._all(query, ledger)[0])

    def group_sums(
        self, ledger: LedgerDay, groups: Sequence[Iterable[Metric]], *, service_accounts: bool
    ) -> list[tuple[Any, ...]]:
        """The name of each user who was active on the day, and for each group the sum of its known
        metrics.
        """
        wanted = tuple(map(tuple, groups))
        query = _group_sums_of_day(wanted, service_accounts=service_accounts)
        return [tuple(row) for row in self._all(query, ledger)]

    def sums_by_user(
        self, source: str, days: Collection[date], *, service_accounts: bool
    ) -> list[UserSums]:
        """The sums over the days on which a user was active, sorted by name; StoreFailed where all
        together they are not those of the ledger.
        """
        # How many values are known is counted only where the ledger says that some are not.
        partly = self._partly_unknown(source, days)
        query = (
            select(
                USER_DAY.c.user_login,
                *_sums_of(_COUNT_COLUMNS),
                *(func.count(_COUNT_COLUMNS[place]) == func.count() for place in partly),
            )
            .where(*_active_on(source, days, service_accounts=service_accounts))
            .group_by(USER_DAY.c.user_login)
            .order_by(USER_DAY.c.user_login)
        )
        found = []
        for row in self._all(query):
            sums = list(row[1 : len(COUNTS) + 1])
            known = tuple([each or 0 for each in sums]) if None in sums else tuple(sums)
            for place, is_known in zip(partly, row[len(COUNTS) + 1 :], strict=True):
                if not is_known:
                    sums[place] = None
            found.append(UserSums(row[0], tuple(sums), known))
        if service_accounts:
            self._check_sums(source, days, found)
        return found

    def _check_sums(self, source: str, days: Collection[date], users: list[UserSums]) -> None:
        """Nobody else compares the rows of days that are not loaded with the ledger."""
        ledger = DAY_LEDGER.c
        sums = _whole_sums_of(SUM_COLUMNS)
        query = select(*sums).where(ledger.source == source, ledger.day.in_(days), ledger.users > 0)
        of_ledger = self._all(query)[0]
        of_users = map(sum, zip(*(user.known for user in users), strict=True))
        for whole, found in zip(of_ledger, list(of_users) or [0] * len(COUNTS), strict=True):
            if whole is not None and whole != found:
                raise StoreFailed(
                    f"{self._place}: the rows from {min(days)} to {max(days)} do not match the"
                    " ledger; see which days do not with `status --verify`, and restore the store"
                    " from a backup, or fetch these again with --refresh"
                )

    def _partly_unknown(self, source: str, days: Collection[date]) -> list[int]:
        """The places of the counts that are unknown for somebody on one of the days."""
        ledger = DAY_LEDGER.c
        query = select(*_are_unknown(SUM_COLUMNS)).where(
            ledger.source == source, ledger.day.in_(days), ledger.users > 0
        )
        return [place for place, is_unknown in enumerate(self._all(query)[0]) if is_unknown]

    def people_sums(self, source: str, days: Collection[date]) -> dict[date, Figures]:
        """The sums of each day without service accounts; an unknown count makes its sum unknown."""
        query = (
            select(USER_DAY.c.day, *_whole_sums_of(_COUNT_COLUMNS))
            .where(USER_DAY.c.source == source, USER_DAY.c.day.in_(days))
            .where(USER_DAY.c.service_account == false())
            .group_by(USER_DAY.c.day)
        )
        return {row[0]: of_counts(row[1:]) for row in self._all(query)}

    def unknown_user_days(
        self,
        source: str,
        days: Collection[date],
        metrics: Iterable[Metric],
        *,
        service_accounts: bool,
    ) -> int:
        """On how many active user-days one of the metrics is unknown."""
        unknown = or_(*(USER_DAY.c[metric.name].is_(None) for metric in metrics))
        active = _active_on(source, days, service_accounts=service_accounts)
        count: int = self._all(select(func.count()).where(unknown, *active))[0][0]
        return count

    def open_sums(
        self,
        source: str,
        days: Collection[date],
        total: Metric,
        parts: Iterable[Metric],
        *,
        service_accounts: bool,
    ) -> tuple[int, OpenSum | None]:
        """How many active user-days have a total that differs from the sum of its known parts, and
        the first of them.
        """
        whole = USER_DAY.c[total.name]
        # In SQL, x + NULL is NULL.
        sum_ = sum((func.coalesce(USER_DAY.c[part.name], 0) for part in parts), literal(0))
        active = _active_on(source, days, service_accounts=service_accounts)
        is_open = (whole.is_not(None), whole != sum_, *active)
        count: int = self._all(select(func.count()).where(*is_open))[0][0]
        first = (
            select(USER_DAY.c.day, USER_DAY.c.user_login, whole, cast(sum_, BigInteger))
            .where(*is_open)
            .order_by(USER_DAY.c.day, USER_DAY.c.user_login)
            .limit(1)
        )
        return count, OpenSum(*self._all(first)[0]) if count else None

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

    def content_of(self, row: LedgerDay) -> str:
        """A digest of what identifies the day's rows, without reading them.

        Equal only where the store has the same version of the day and nobody was removed since.
        """
        content = (
            *(row.source, row.day, row.version, row.accepted_at, row.digest, row.forgotten),
            *(row.users, row.active_users, row.sums, self._forgets),
        )
        return hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()

    @cached_property
    def _forgets(self) -> str | None:
        return self.note(FORGETS)

    def note(self, name: str) -> str | None:
        """The value that a run stored under the name for later ones."""
        rows = self._all(select(INFO.c.value).where(INFO.c.name == name))
        return rows[0][0] if rows else None

    def _all(self, query: Any, ledger: LedgerDay | None = None) -> list[Any]:
        """All rows; `ledger` gives the parameters of a query for one day."""
        values = {"source": ledger.source, "day": ledger.day} if ledger else {}
        with self._explained():
            return list(self._connection.execute(query, values).all())
