"""Queries that let the database add up figures of many days or users."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
)

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.figures import of_counts
from dashboard_scraper.model.metrics import (
    ACTIVE_DAYS,
    COUNTS,
    REQUIRED,
    Count,
    Figures,
    Metric,
)
from dashboard_scraper.store.rows import LedgerDay
from dashboard_scraper.store.schema import (
    DAY_LEDGER,
    EDITOR_LANGUAGE_DAY,
    SUM_COLUMNS,
    USER_DAY,
)
from dashboard_scraper.store.snapshot import IS_OF_DAY, Snapshot

_COUNT_COLUMNS = tuple(USER_DAY.c[metric.name] for metric in COUNTS)
_USERS_AT_ONCE = 1000  # columns of all users would take half as much memory as their sums
_NOTHING: Mapping[Metric, Metric] = MappingProxyType({})


class UserSums(NamedTuple):
    """A user's sums over days, in the order of COUNTS: None if one of the days is unknown. `known`
    are the sums without unknown days: None if all are unknown.
    """

    user: str
    sums: tuple[Count, ...]
    known: tuple[Count, ...]


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


def _any_of(metrics: Iterable[Metric]) -> ColumnElement[bool]:
    return or_(*(USER_DAY.c[metric.name] > 0 for metric in metrics))


@cache
def _is_active() -> ColumnElement[bool]:
    """The condition for activity, as `figures.is_active` defines it."""
    unknown = or_(*(USER_DAY.c[metric.name].is_(None) for metric in REQUIRED))
    not_idle = func.coalesce(USER_DAY.c[ACTIVE_DAYS.name], 1) != 0
    return or_(_any_of(COUNTS), and_(unknown, not_idle))


def _sum_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The sum, cast since PostgreSQL's sum of integers is a decimal number."""
    return cast(func.sum(column), BigInteger)


@cache
def _sums_of(columns: tuple[Column[Any], ...]) -> tuple[ColumnElement[Any], ...]:
    """The sums of the known values."""
    return tuple(_sum_of(column) for column in columns)


@cache
def _whole_sums_of(columns: tuple[Column[Any], ...]) -> tuple[ColumnElement[Any], ...]:
    """The sums, NULL if any value is unknown."""
    return tuple(case((func.count(c) == func.count(), _sum_of(c))) for c in columns)


@cache
def _are_unknown(columns: tuple[Column[Any], ...]) -> tuple[ColumnElement[bool], ...]:
    """Whether a value of the column is unknown."""
    return tuple(func.count() > func.count(column) for column in columns)


@cache
def _sums_of_day(
    metrics: tuple[Metric, ...],
    at_least: tuple[tuple[Metric, Metric], ...],
    *,
    service_accounts: bool,
) -> Select[Any]:
    others = dict(at_least)
    sums: list[ColumnElement[Any]] = []
    for metric in metrics:
        known: ColumnElement[Any] = USER_DAY.c[metric.name]
        if metric in others:
            known = func.coalesce(known, USER_DAY.c[others[metric].name])
        sums.append(_sum_of(known))
    return select(*sums).where(*IS_OF_DAY, *_are_shown(service_accounts=service_accounts))


@cache
def _group_sums_of_day(
    groups: tuple[tuple[Metric, ...], ...], *, service_accounts: bool
) -> Select[Any]:
    sums = [
        cast(sum((func.coalesce(USER_DAY.c[m.name], 0) for m in group), literal(0)), BigInteger)
        for group in groups
    ]
    shown = _are_shown(service_accounts=service_accounts)
    return select(USER_DAY.c.user_login, *sums).where(*IS_OF_DAY, _is_active(), *shown)


def _are_shown(*, service_accounts: bool) -> tuple[ColumnElement[bool], ...]:
    """The condition that leaves out service accounts, unless they are shown."""
    return () if service_accounts else (USER_DAY.c.service_account == false(),)


def _is_on_days(table: Table) -> tuple[ColumnElement[bool], ...]:
    """The conditions for rows of some days of a source: `_days_values` has the values."""
    days = bindparam("days", expanding=True, type_=Date())
    return table.c.source == bindparam("source"), table.c.day.in_(days)


def _days_values(source: str, days: Iterable[date]) -> dict[str, Any]:
    return {"source": source, "days": [*days]}


@cache
def _active_on(*, service_accounts: bool) -> tuple[ColumnElement[bool], ...]:
    """The conditions for the days' rows with activity."""
    return *_is_on_days(USER_DAY), _is_active(), *_are_shown(service_accounts=service_accounts)


@cache
def _sums_by_user(
    wanted: tuple[int, ...], partly: tuple[int, ...], *, service_accounts: bool
) -> Select[Any]:
    query = select(
        USER_DAY.c.user_login,
        *_sums_of(tuple(_COUNT_COLUMNS[place] for place in wanted)),
        *(func.count(_COUNT_COLUMNS[place]) == func.count() for place in partly),
    )
    return (
        query.where(*_active_on(service_accounts=service_accounts))
        .group_by(USER_DAY.c.user_login)
        .order_by(USER_DAY.c.user_login)
    )


@cache
def _of_ledger(of_columns: Callable[..., tuple[ColumnElement[Any], ...]]) -> Select[Any]:
    return select(*of_columns(SUM_COLUMNS)).where(*_is_on_days(DAY_LEDGER), DAY_LEDGER.c.users > 0)


@cache
def _people_sums() -> Select[Any]:
    return (
        select(USER_DAY.c.day, *_whole_sums_of(_COUNT_COLUMNS))
        .where(*_is_on_days(USER_DAY), *_are_shown(service_accounts=False))
        .group_by(USER_DAY.c.day)
    )


@cache
def _unknown_user_days(metrics: tuple[Metric, ...], *, service_accounts: bool) -> Select[Any]:
    unknown = or_(*(USER_DAY.c[metric.name].is_(None) for metric in metrics))
    return select(func.count()).where(unknown, *_active_on(service_accounts=service_accounts))


@cache
def _open_sums(
    total: Metric, parts: tuple[Metric, ...], *, service_accounts: bool
) -> tuple[Select[Any], Select[Any]]:
    """Queries for the number of `OpenSum`s, and for the first."""
    whole = USER_DAY.c[total.name]
    # In SQL, x + NULL is NULL.
    sum_ = sum((func.coalesce(USER_DAY.c[part.name], 0) for part in parts), literal(0))
    active = _active_on(service_accounts=service_accounts)
    is_open = (whole.is_not(None), whole != sum_, *active)
    first = (
        select(USER_DAY.c.day, USER_DAY.c.user_login, whole, cast(sum_, BigInteger))
        .where(*is_open)
        .order_by(USER_DAY.c.day, USER_DAY.c.user_login)
        .limit(1)
    )
    return select(func.count()).where(*is_open), first


@cache
def _editor_language_sums(
    wholes: tuple[tuple[Metric, ...], ...], *, service_accounts: bool
) -> Select[Any]:
    table = EDITOR_LANGUAGE_DAY
    place = (table.c.user_login, table.c.editor, table.c.language)
    # In SQL, x + NULL is NULL, and count() leaves out NULL: so an unknown part is noticed.
    sums = [sum((table.c[metric.name] for metric in whole), literal(0)) for whole in wholes]
    whole_sums = (
        cast(case((func.count(each) == func.count(), func.sum(each))), BigInteger) for each in sums
    )
    query = select(*place, *whole_sums).where(*_is_on_days(table))
    if not service_accounts:
        is_row = (USER_DAY.c[name] == table.c[name] for name in ("source", "day", "user_login"))
        query = query.where(~exists().where(*is_row, USER_DAY.c.service_account))
    return query.group_by(*place).order_by(*place)


class SumQueries(Snapshot):
    """The part of a `Reader` that adds up figures."""

    _newest_sums: tuple[Any, list[UserSums]] | None = None

    def figure_sums(
        self,
        ledger: LedgerDay,
        metrics: Collection[Metric] = COUNTS,
        *,
        service_accounts: bool,
        at_least: Mapping[Metric, Metric] = _NOTHING,
    ) -> Figures:
        """The sums of the day's known counts for these `metrics`; None if no user's count is known.
        `at_least` maps metrics to others, which replace them for users for whom they are unknown.
        """
        sums = {}
        if service_accounts and ledger.users:  # a sum in the ledger includes everybody
            sums = {metric.name: ledger.sums[metric] for metric in metrics}
        left = tuple(metric for metric in metrics if sums.get(metric.name) is None)
        if left:
            others = tuple(at_least.items())
            query = _sums_of_day(left, others, service_accounts=service_accounts)
            found = self._of_day(query, ledger)[0]
            sums |= {metric.name: each for metric, each in zip(left, found, strict=True)}
        return Figures(**sums)

    def group_sums(
        self, ledger: LedgerDay, groups: Sequence[Iterable[Metric]], *, service_accounts: bool
    ) -> list[tuple[Any, ...]]:
        """The name of each user who was active on the day, and for each group the sum of its known
        metrics.
        """
        wanted = tuple(map(tuple, groups))
        query = _group_sums_of_day(wanted, service_accounts=service_accounts)
        return [tuple(row) for row in self._of_day(query, ledger)]

    def sums_by_user(
        self,
        source: str,
        days: Collection[date],
        metrics: Iterable[Metric] = COUNTS,
        *,
        service_accounts: bool,
    ) -> list[UserSums]:
        """The sums over the days on which a user was active, sorted by name; StoreFailed if their
        totals are not those of the ledger. Sums of other metrics are None.
        """
        wanted = tuple(place for place, metric in enumerate(COUNTS) if metric in {*metrics})
        key = source, frozenset(days), wanted, service_accounts
        if self._newest_sums is None or self._newest_sums[0] != key:
            # The outputs of a run ask for the same sums, one after the other.
            self._newest_sums = key, self._sums_by_user(*key)
        return self._newest_sums[1]

    def _sums_by_user(
        self,
        source: str,
        days: Collection[date],
        wanted: tuple[int, ...],
        service_accounts: bool,
    ) -> list[UserSums]:
        # Known values are counted only for metrics of which the ledger says that some values are
        # unknown.
        unknown = self._partly_unknown(source, days)
        partly = tuple(place for place in wanted if place in unknown)
        query = _sums_by_user(wanted, partly, service_accounts=service_accounts)
        found = []
        for row in self._each(query, _days_values(source, days)):
            sums: list[Count] = [None] * len(COUNTS)
            for place, count in zip(wanted, row[1:], strict=False):
                sums[place] = count
            whole = known = tuple(sums)
            if not all(row[len(wanted) + 1 :]):
                for place, is_known in zip(partly, row[len(wanted) + 1 :], strict=True):
                    if not is_known:
                        sums[place] = None
                whole = tuple(sums)
            found.append(UserSums(row[0], whole, known))
        if service_accounts:
            self._check_sums(source, days, wanted, found)
        return found

    def _check_sums(
        self,
        source: str,
        days: Collection[date],
        wanted: Iterable[int],
        users: list[UserSums],
    ) -> None:
        """Compare the sums with the ledger: rows that are not loaded are compared nowhere else."""
        of_ledger = self._all(_of_ledger(_whole_sums_of), _days_values(source, days))[0]
        of_users = [0] * len(COUNTS)
        for start in range(0, len(users), _USERS_AT_ONCE):
            few = users[start : start + _USERS_AT_ONCE]
            columns = zip(*(user.known for user in few), strict=True)
            of_users = [n + sum(filter(None, c)) for n, c in zip(of_users, columns, strict=True)]
        for place in wanted:
            if of_ledger[place] is not None and of_ledger[place] != of_users[place]:
                raise StoreFailed(
                    f"{self._place}: the rows from {min(days)} to {max(days)} do not match the"
                    " ledger; see which days do not with `status --verify`, and restore the store"
                    " from a backup, or fetch these again with --refresh"
                )

    def _partly_unknown(self, source: str, days: Collection[date]) -> list[int]:
        """The positions of the counts that are unknown for somebody on one of the days."""
        unknown = self._all(_of_ledger(_are_unknown), _days_values(source, days))[0]
        return [place for place, is_unknown in enumerate(unknown) if is_unknown]

    def people_sums(self, source: str, days: Collection[date]) -> dict[date, Figures]:
        """The sums of each day without service accounts; an unknown count makes its sum unknown."""
        rows = self._all(_people_sums(), _days_values(source, days))
        return {row[0]: of_counts(row[1:]) for row in rows}

    def unknown_user_days(
        self,
        source: str,
        days: Collection[date],
        metrics: Iterable[Metric],
        *,
        service_accounts: bool,
    ) -> int:
        """On how many active user-days one of the metrics is unknown."""
        partly = {COUNTS[place] for place in self._partly_unknown(source, days)}
        unknown = tuple(metric for metric in metrics if metric in partly)
        if not unknown:
            return 0
        query = _unknown_user_days(unknown, service_accounts=service_accounts)
        count: int = self._all(query, _days_values(source, days))[0][0]
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
        values = _days_values(source, days)
        counting, first = _open_sums(total, tuple(parts), service_accounts=service_accounts)
        count: int = self._all(counting, values)[0][0]
        return count, OpenSum(*self._all(first, values)[0]) if count else None

    def editor_language_sums(
        self,
        source: str,
        days: Iterable[date],
        wholes: Sequence[Iterable[Metric]],
        *,
        service_accounts: bool,
    ) -> list[PlaceSums]:
        """For each user, editor and language the sums over the days: for each of the `wholes`, the
        sum of its metrics, or None if a part is unknown.
        """
        query = _editor_language_sums(tuple(map(tuple, wholes)), service_accounts=service_accounts)
        rows = self._all(query, _days_values(source, days))
        return [PlaceSums(row[0], row[1], row[2], row[3:]) for row in rows]
