"""The costs of a day in the store: the version in force in full, earlier ones as differences.

Each superseded version is stored as the rows that differ from the next version, so the store grows
only with what was revised. Costs are never held for a decision: bills are corrected for weeks, and
the earlier versions stay in the store. A version that may lack costs is marked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Protocol

from sqlalchemy import (
    Connection,
    Executable,
    RowMapping,
    Select,
    Table,
    bindparam,
    delete,
    select,
    update,
)

from dashboard_scraper.model.costs import Cost, CostDay, CostDifference, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.people import People
from dashboard_scraper.store import persons
from dashboard_scraper.store.backend import Load
from dashboard_scraper.store.cost_rows import (
    CostLedgerDay,
    cost_content,
    cost_ledger_day,
    cost_ledger_row,
    cost_of,
    differences_text,
    is_equal,
    sum_columns,
)
from dashboard_scraper.store.empty_days import cost_sums
from dashboard_scraper.store.revising import Stored
from dashboard_scraper.store.schema import (
    BUDGET,
    COST_DAY,
    COST_DAY_VERSION,
    COST_LEDGER,
    COST_TABLES,
    COST_VERSION,
)
from dashboard_scraper.store.statements import (
    content_of_day,
    content_of_version,
    day_values,
    deletion_of_day,
    insertion,
    is_of_version,
    of_source,
    rows_of_day,
    source_values,
    update_of_day,
    version_values,
)
from dashboard_scraper.store.versions import Content, Delta, applied, difference

_CURRENCY = (
    of_source(COST_DAY, select(COST_DAY.c.currency)).order_by(COST_DAY.c.day.desc()).limit(1)
)
"""The currency of the newest day with costs."""
_LABELLING = update(COST_LEDGER).where(COST_LEDGER.c.source == bindparam("of_source"))
_KEYS = 3  # columns of the key after source and day
_NONE: Mapping[str, Any] = MappingProxyType({})


class LossPolicy(Protocol):
    """Decides whether an answer may lack some of the costs that an earlier one had."""

    def losses(self, before: Sequence[Cost], now: Sequence[Cost]) -> list[CostDifference]:
        """Where it may; each difference is `of_earlier`."""
        ...

    def is_confirmed(self, row: CostLedgerDay, fetched_at: datetime) -> bool:
        """Whether the source has repeated the version often enough by then."""
        ...


class StoredCosts:
    """The costs of one day, within a transaction."""

    def __init__(
        self, connection: Connection, source: str, day: date, load: Load | None = None
    ) -> None:
        self._connection = connection
        self._prefix = (source, day)
        self._load = load

    def put(
        self,
        costs: CostDay,
        fetched_at: datetime,
        people: People,
        without: Collection[str] = (),
        policy: LossPolicy | None = None,
    ) -> tuple[Stored, CostLedgerDay | None]:
        """Store an answer; returns what was done with it, and the ledger's row before.

        The rows of users in `without` count as removed, as if they had been stored before.
        """
        content = cost_content(costs)
        new = {key: row for key, row in content.items() if key[0] not in without}
        row = cost_ledger_row(self._prefix[0], costs, fetched_at)
        usual = self._usual_currency()
        if not content:  # a source that names the currency in its rows did not name it
            row["currency"] = usual or row["currency"]
        elif usual is None:  # nor did it for earlier days without costs
            values = {"of_source": self._prefix[0], "currency": row["currency"]}
            self._connection.execute(_LABELLING, values)
        if lost := len(content) - len(new):
            row |= {**sum_columns(self._sums_of(new)), "forgotten": lost}
        persons.add(self._connection, self._prefix[0], {key[0] for key in new if key[0]}, people)
        current = self._in_force()
        if current is None:
            self._write(COST_DAY, new)
            self._connection.execute(insertion(COST_LEDGER), row)
            return Stored.FIRST, None
        before, old = cost_ledger_day(current), self.rows()
        if not content and not old:  # another currency of no costs is no revision
            current = {**current, "currency": row["currency"]}
        if new == old and is_equal(row, current) and before.forgotten == lost:
            marks = differences_text(_marks_of_same(before, fetched_at, policy))
            self._update_ledger(fetched_at=fetched_at, currency=row["currency"], unreconciled=marks)
            return Stored.SAME, before
        if policy is not None:
            losses = policy.losses(_costs_in(self._unmarked(before, old)), _costs_in(new))
            row["unreconciled"] = differences_text([*costs.differences, *losses])
        self._archive(current, difference(old, new))
        self._delete_rows(COST_DAY)
        self._write(COST_DAY, new)
        self._update_ledger(**{**row, "version": before.version + 1})
        return Stored.REVISED, before

    def _unmarked(self, current: CostLedgerDay, rows: Content) -> Content:
        """The rows of the newest version that lacked nothing, as far as is known; `rows` are those
        of the version in force.
        """
        if not _has_losses(current):
            return rows
        earlier = map(cost_ledger_day, self._execute(rows_of_day(COST_VERSION)).mappings())
        marked = {row.version for row in earlier if _has_losses(row)}
        numbers = range(current.version - 1, 0, -1)
        versions = zip(numbers, self.earlier(current.version), strict=True)
        return next(content for number, content in versions if number not in marked)

    def _usual_currency(self) -> str | None:
        found: str | None = self._connection.scalar(_CURRENCY, source_values(self._prefix[0]))
        return found

    def rows(self) -> Content:
        """The rows of the version in force."""
        return self._content(content_of_day(COST_DAY))

    def version(self, number: int, current: int) -> Content:
        """The rows of any version, where `current` is the number of the one in force."""
        content = self.rows()
        if number < current:
            *_, content = self.earlier(current, number)
        return content

    def earlier(self, current: int, first: int = 1) -> Iterator[Content]:
        """The rows of the versions before the one in force, the newest first."""
        content = self.rows()
        for each in range(current - 1, first - 1, -1):
            content = applied(self._delta(each), content)
            yield content

    def remove(self, names: Iterable[str]) -> int:
        """Remove users' rows from all versions, and from the sums; returns the number of rows."""
        current = self._in_force()
        if current is None:
            return 0
        gone = set(names)
        newest = current["version"]
        before = {number: self.version(number, newest) for number in range(1, newest + 1)}
        removed: int = sum(
            self._execute(deletion_of_day(table).where(table.c.user_login.in_(gone))).rowcount
            for table in COST_TABLES
        )
        for number, content in before.items():
            left = {key: row for key, row in content.items() if key[0] not in gone}
            if lost := len(content) - len(left):
                self._recount(COST_LEDGER if number == newest else COST_VERSION, number, left, lost)
        return removed

    def _recount(self, table: Table, number: int, left: Content, lost: int) -> None:
        values = {**sum_columns(self._sums_of(left)), "forgotten": table.c.forgotten + lost}
        changing = update(table).where(is_of_version(table)).values(values)
        self._execute(changing, version_values(number))

    def _sums_of(self, content: Content) -> CostFigures:
        return cost_sums(self._prefix[0], (cost.figures for cost in _costs_in(content)))

    def copy(self, row: Mapping[Any, Any], content: Content, moment: datetime) -> None:
        """Store a version as it was in another store at the moment."""
        names = {key[0] for key in content if key[0]}
        persons.add(self._connection, self._prefix[0], names, People())
        self._write(COST_DAY, content)
        # The last fetch may be after the moment; the first is not.
        seen = row["fetched_at"] if row["fetched_at"] <= moment else row["accepted_at"]
        values = {column.name: row[column.name] for column in COST_LEDGER.c} | {"fetched_at": seen}
        self._connection.execute(insertion(COST_LEDGER), values)

    def _in_force(self) -> Mapping[Any, Any] | None:
        found: RowMapping | None = self._execute(rows_of_day(COST_LEDGER)).mappings().first()
        return found

    def _archive(self, current: Mapping[Any, Any], delta: Delta) -> None:
        self._connection.execute(insertion(COST_VERSION), {**current})
        width = len(COST_DAY.c) - 2 - _KEYS
        rows = (
            (*self._prefix, current["version"], *key, *(row or (None,) * width), row is None)
            for key, row in delta.items()
        )
        self._loaded(COST_DAY_VERSION, rows)

    def _delta(self, number: int) -> Delta:
        table = COST_DAY_VERSION
        found = self._content(content_of_version(table), version_values(number))
        return {key: None if row[-1] else row[:-1] for key, row in found.items()}

    def _write(self, table: Table, content: Content) -> None:
        self._loaded(table, ((*self._prefix, *key, *row) for key, row in content.items()))

    def _loaded(self, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        if self._load is None:
            raise RuntimeError("these costs were opened for reading")
        self._load(self._connection, table, rows)

    def _update_ledger(self, **values: Any) -> None:
        self._execute(update_of_day(COST_LEDGER), values)

    def _delete_rows(self, table: Table) -> None:
        self._execute(deletion_of_day(table))

    def _execute(self, statement: Executable, values: Mapping[str, Any] = _NONE) -> Any:
        return self._connection.execute(statement, {**day_values(*self._prefix), **values})

    def _content(self, query: Select[Any], values: Mapping[str, Any] = _NONE) -> Content:
        rows = self._execute(query, values).all()
        return {tuple(row[:_KEYS]): tuple(row[_KEYS:]) for row in rows}


def _costs_in(content: Content) -> list[Cost]:
    return [cost_of((*key, *row)) for key, row in content.items()]


def _marks_of_same(
    row: CostLedgerDay, fetched_at: datetime, policy: LossPolicy | None
) -> list[CostDifference]:
    """The marks that a version keeps when the source repeats it."""
    if policy is not None and not policy.is_confirmed(row, fetched_at):
        return row.unreconciled
    return [mark for mark in row.unreconciled if not mark.of_earlier]


def _has_losses(row: CostLedgerDay) -> bool:
    return any(mark.of_earlier for mark in row.unreconciled)


def mark_days(
    connection: Connection, source: str, window: Window, differences: Sequence[CostDifference]
) -> None:
    """Set the differences of every stored day of the window."""
    text, table = differences_text(differences), COST_LEDGER.c
    of_window = (table.source == source) & table.day.between(window.start, window.end)
    differs = table.unreconciled.is_distinct_from(text)
    connection.execute(update(COST_LEDGER).where(of_window & differs).values(unreconciled=text))


def remove_costs(connection: Connection, source: str, names: Iterable[str]) -> int:
    """Remove users' costs of all days of a source and their budgets; returns the number of deleted
    rows.
    """
    gone = [*names]
    days: set[date] = set()
    for table in COST_TABLES:
        is_theirs = (table.c.source == source) & table.c.user_login.in_(gone)
        days.update(connection.scalars(select(table.c.day).where(is_theirs).distinct()))
    removed = sum(StoredCosts(connection, source, day).remove(gone) for day in sorted(days))
    is_theirs = (BUDGET.c.source == source) & BUDGET.c.user_login.in_(gone)
    return removed + connection.execute(delete(BUDGET).where(is_theirs)).rowcount


def copy_costs(store: Connection, copy: Connection, moment: datetime, load: Load) -> None:
    """Copy what was in force at the moment: for each day, the last version that was accepted by
    then.
    """
    found: dict[tuple[str, date], RowMapping] = {}
    newest: dict[tuple[str, date], int] = {}
    for table in (COST_VERSION, COST_LEDGER):
        for row in store.execute(select(table)).mappings():
            key = (row["source"], row["day"])
            newest[key] = max(row["version"], newest.get(key, 0))
            known = found.get(key)
            if row["accepted_at"] <= moment and (not known or known["version"] < row["version"]):
                found[key] = row
    for key, row in found.items():
        content = StoredCosts(store, *key).version(row["version"], newest[key])
        StoredCosts(copy, *key, load).copy(row, content, moment)
    for budget in store.execute(select(BUDGET)).mappings().all():
        if budget["fetched_at"] <= moment:
            copy.execute(insertion(BUDGET), {**budget})
