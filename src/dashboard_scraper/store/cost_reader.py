"""Queries about costs on a snapshot of the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, select

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.costs import Account, Budget, Cost, CostKind, CostMetric, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.store.cost_rows import CostLedgerDay, cost_ledger_day, cost_of
from dashboard_scraper.store.schema import BUDGET, COST_DAY, COST_LEDGER
from dashboard_scraper.store.snapshot import Snapshot

_COSTS_OF_DAY = (
    select(*list(COST_DAY.c)[2:])
    .where(COST_DAY.c.source == bindparam("source"), COST_DAY.c.day == bindparam("day"))
    .order_by(COST_DAY.c.user_login, COST_DAY.c.resource_type, COST_DAY.c.resource)
)


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
    """The part of a `Reader` that knows costs."""

    def cost_ledger(self, source: str, window: Window | None = None) -> dict[date, CostLedgerDay]:
        """The days whose costs are stored, oldest first; by default all of them."""
        rows = self.cost_ledger_rows(source, window)
        return {day: cost_ledger_day(row) for day, row in rows.items()}

    def cost_ledger_rows(
        self, source: str, window: Window | None = None
    ) -> dict[date, dict[str, Any]]:
        """The same as the table has it, by column name."""
        table = COST_LEDGER
        query = select(table).where(table.c.source == source).order_by(table.c.day)
        if window:
            query = query.where(table.c.day.between(window.start, window.end))
        with self._explained():
            rows = self._connection.execute(query).mappings().all()
        return {row["day"]: {f"{name}": row[name] for name in row} for row in rows}

    def has_costs(self, source: str) -> bool:
        """Whether the costs of any day are stored."""
        query = select(COST_LEDGER.c.day).where(COST_LEDGER.c.source == source).limit(1)
        with self._explained():
            return self._connection.execute(query).first() is not None

    def costs(self, ledger: CostLedgerDay) -> list[Cost]:
        """A day's costs, sorted by user and resource; StoreFailed where their sums are not the
        ledger's.
        """
        values: dict[str, Any] = {"source": ledger.source, "day": ledger.day}
        with self._explained():
            rows = self._connection.execute(_COSTS_OF_DAY, values).all()
        found = [cost_of(row) for row in rows]
        if sum_costs(cost.figures for cost in found) != ledger.sums:
            raise self._costs_damaged(ledger.day)
        return found

    def cost_amounts(self, ledger: CostLedgerDay, metric: CostMetric) -> list[CostAmount]:
        """A day's amounts of one metric that the ledger knows, in any order: `costs` for readers of
        many days. Raises StoreFailed where their sum is not the ledger's.
        """
        values: dict[str, Any] = {"source": ledger.source, "day": ledger.day}
        with self._explained():
            rows = self._connection.execute(_amounts_of_day(metric), values).all()
        amounts = [row[-1] for row in rows]
        if None in amounts or exact_sum(amounts) != ledger.sums[metric]:
            raise self._costs_damaged(ledger.day)
        return [CostAmount(row[0], Account(row[1]), *row[2:]) for row in rows]

    def _costs_damaged(self, day: date) -> StoreFailed:
        return StoreFailed(
            f"{self._place}: the costs of {day} do not match the ledger; restore the store from a"
            " backup, or fetch the day again with --refresh"
        )

    def damaged_costs(self, source: str) -> list[date]:
        """Days whose costs do not match the ledger, or have none while there are rows."""
        ledger = self.cost_ledger(source)
        query = select(COST_DAY.c.day).where(COST_DAY.c.source == source).distinct()
        with self._explained():
            found = [day for day in self._connection.scalars(query) if day not in ledger]
        for day, row in ledger.items():
            try:
                self.costs(row)
            except StoreFailed as error:
                if error.is_away:
                    raise
                found.append(day)
        return found

    def cost_rows(self, source: str, window: Window | None = None) -> Iterator[tuple[date, Cost]]:
        """Every row of the window's stored days, oldest day first; raises as `costs`."""
        for day, ledger in self.cost_ledger(source, window).items():
            for cost in self.costs(ledger):
                yield day, cost

    def budgets(self, source: str) -> list[Budget]:
        """The limits of users that the source named last, sorted by user."""
        columns = (BUDGET.c.user_login, BUDGET.c.kind, BUDGET.c.monthly_limit)
        query = select(*columns).where(BUDGET.c.source == source)
        with self._explained():
            rows = self._connection.execute(query.order_by(*columns[:2])).all()
        return [Budget(user, CostKind(kind), limit) for user, kind, limit in rows]
