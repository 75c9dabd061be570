"""Queries about costs on a snapshot of the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, select

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.costs import (
    Account,
    Budget,
    Cost,
    CostDifference,
    CostKind,
    CostMetric,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.store.cost_days import StoredCosts
from dashboard_scraper.store.cost_rows import CostLedgerDay, cost_ledger_day, cost_of
from dashboard_scraper.store.empty_days import are_cost_sums
from dashboard_scraper.store.schema import COST_DAY, COST_LEDGER, COST_VERSION
from dashboard_scraper.store.snapshot import Snapshot
from dashboard_scraper.store.statements import day_values, of_source, rows_of_day, source_values
from dashboard_scraper.store.unversioned import BUDGETS_OF_SOURCE

# Each is built once: see `statements`.
_COSTS_OF_DAY = (
    select(*list(COST_DAY.c)[2:])
    .where(COST_DAY.c.source == bindparam("source"), COST_DAY.c.day == bindparam("day"))
    .order_by(COST_DAY.c.user_login, COST_DAY.c.resource_type, COST_DAY.c.resource)
)
_COST_VERSIONS = rows_of_day(COST_VERSION)
_HAS_COSTS = of_source(COST_LEDGER, select(COST_LEDGER.c.day)).limit(1)
_COST_DAYS = of_source(COST_DAY, select(COST_DAY.c.day)).distinct()
_LAST_FETCHES = of_source(
    COST_LEDGER, select(COST_LEDGER.c.day, COST_LEDGER.c.fetched_at), windowed=True
)
_PAYERS = of_source(
    COST_DAY, select(COST_DAY.c.user_login, COST_DAY.c.account), windowed=True
).distinct()


class CostVersion(NamedTuple):
    """One version of a day's costs."""

    ledger: CostLedgerDay
    costs: list[Cost]


class CostAmount(NamedTuple):
    """One metric's amount of a user and resource on a day; the amount is known."""

    user: str
    account: Account
    resource_type: str
    resource: str
    amount: Decimal


@cache
def _amounts_of_day(metric: CostMetric) -> Select[Any]:
    table = COST_DAY.c
    return select(
        *(table.user_login, table.account, table.resource_type, table.resource),
        table[metric.name],
    ).where(table.source == bindparam("source"), table.day == bindparam("day"))


class CostQueries(Snapshot):
    """The part of a `Reader` that queries costs."""

    def cost_ledger(self, source: str, window: Window | None = None) -> dict[date, CostLedgerDay]:
        """The days whose costs are stored, oldest first; by default all of them."""
        rows = self.cost_ledger_rows(source, window)
        return {day: cost_ledger_day(row) for day, row in rows.items()}

    def cost_ledger_rows(
        self, source: str, window: Window | None = None
    ) -> dict[date, dict[str, Any]]:
        """The same rows as they are in the table, by column name."""
        return self._by_day(COST_LEDGER, source, window)

    def last_cost_fetches(self, source: str, window: Window) -> dict[date, datetime]:
        """When the costs of each day were last fetched, for days that have costs."""
        return {row[0]: row[1] for row in self._all(_LAST_FETCHES, source_values(source, window))}

    def unreconciled_costs(self, source: str, window: Window) -> dict[date, list[CostDifference]]:
        """The differences of each day whose costs do not add up, oldest first."""
        ledger = self.cost_ledger(source, window)
        return {day: row.unreconciled for day, row in ledger.items() if row.unreconciled}

    def has_costs(self, source: str) -> bool:
        """Whether the costs of any day are stored."""
        return bool(self._all(_HAS_COSTS, source_values(source)))

    def costs(self, ledger: CostLedgerDay) -> list[Cost]:
        """A day's costs, sorted by user and resource; StoreFailed if their sums are not the
        ledger's.
        """
        rows = self._all(_COSTS_OF_DAY, {"source": ledger.source, "day": ledger.day})
        found = [cost_of(row) for row in rows]
        if not are_cost_sums(ledger.sums, (cost.figures for cost in found)):
            raise self._damaged(ledger.day, "the costs")
        return found

    def cost_versions(self, source: str, day: date) -> list[CostVersion]:
        """Every version of a day's costs, by number; the last is in force. Empty if the day's costs
        are not stored.
        """
        current = self.cost_ledger(source, Window(day, day)).get(day)
        if current is None:
            return []
        rows = self._dicts(_COST_VERSIONS, day_values(source, day))
        ledgers = sorted(map(cost_ledger_day, rows), key=lambda row: row.version)
        costs = [*self.earlier_costs(current)][::-1]
        return [*map(CostVersion, [*ledgers, current], [*costs, self.costs(current)])]

    def earlier_costs(self, ledger: CostLedgerDay) -> Iterator[list[Cost]]:
        """The costs of each version of the day that is no longer in force, the newest first."""
        with self._explained():
            earlier = StoredCosts(self._connection, ledger.source, ledger.day).earlier(
                ledger.version
            )
            for content in earlier:
                yield [cost_of((*key, *row)) for key, row in content.items()]

    def cost_amounts(self, ledger: CostLedgerDay, metric: CostMetric) -> list[CostAmount]:
        """A day's amounts of one metric whose sum the ledger has, in any order: faster than
        `costs`, for many days. Raises StoreFailed if their sum is not the ledger's.
        """
        rows = self._all(_amounts_of_day(metric), {"source": ledger.source, "day": ledger.day})
        amounts = [row[-1] for row in rows]
        if None in amounts or exact_sum(amounts) != ledger.sums[metric]:
            raise self._damaged(ledger.day, "the costs")
        return [CostAmount(row[0], Account(row[1]), *row[2:]) for row in rows]

    def damaged_costs(self, source: str) -> list[date]:
        """Days whose costs do not match the ledger, or that have rows of costs but none in the
        ledger.
        """
        ledger = self.cost_ledger(source)
        days = self._all(_COST_DAYS, source_values(source))
        found = [row[0] for row in days if row[0] not in ledger]
        for day, row in ledger.items():
            try:
                self.costs(row)
            except StoreFailed as error:
                if error.is_away:
                    raise
                found.append(day)
        return found

    def payers(self, source: str, window: Window) -> set[tuple[str, Account]]:
        """The users whose costs are stored in the window, with the kind of account of each."""
        rows = self._all(_PAYERS, source_values(source, window))
        return {(user, Account(account)) for user, account in rows}

    def budgets(self, source: str) -> list[Budget]:
        """The limits of users in the source's latest answer, sorted by user."""
        rows = self._all(BUDGETS_OF_SOURCE, source_values(source))
        return [Budget(user, CostKind(kind), limit) for user, kind, limit in rows]
