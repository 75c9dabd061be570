"""Queries about costs on a snapshot of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from typing import Any

from sqlalchemy import Connection, bindparam, select

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.costs import Budget, Cost, CostKind, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.store.cost_rows import CostLedgerDay, cost_ledger_day, cost_of
from dashboard_scraper.store.schema import BUDGET, COST_DAY, COST_LEDGER

_COSTS_OF_DAY = (
    select(*list(COST_DAY.c)[2:])
    .where(COST_DAY.c.source == bindparam("source"), COST_DAY.c.day == bindparam("day"))
    .order_by(COST_DAY.c.user_login, COST_DAY.c.resource_type, COST_DAY.c.resource)
)


class CostQueries:
    """The part of a `Reader` that knows costs."""

    _connection: Connection
    _place: str
    _explained: Callable[[], AbstractContextManager[None]]

    def cost_ledger(self, source: str, window: Window | None = None) -> dict[date, CostLedgerDay]:
        """The days whose costs are stored, oldest first; by default all of them."""
        table = COST_LEDGER
        query = select(table).where(table.c.source == source).order_by(table.c.day)
        if window:
            query = query.where(table.c.day.between(window.start, window.end))
        with self._explained():
            rows = self._connection.execute(query).mappings().all()
        return {row["day"]: cost_ledger_day(row) for row in rows}

    def costs(self, ledger: CostLedgerDay) -> list[Cost]:
        """A day's costs, sorted by user and resource; StoreFailed where their sums are not the
        ledger's.
        """
        values: dict[str, Any] = {"source": ledger.source, "day": ledger.day}
        with self._explained():
            rows = self._connection.execute(_COSTS_OF_DAY, values).all()
        found = [cost_of(row) for row in rows]
        if sum_costs(cost.figures for cost in found) != ledger.sums:
            raise StoreFailed(
                f"{self._place}: the costs of {ledger.day} do not match the ledger; restore the"
                " store from a backup, or fetch the day again with --refresh"
            )
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
