"""The costs of Claude Code's usage by its own estimate, per user, day and model; never a bill."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from dashboard_scraper.model.costs import USD, Budget, Cost, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.sources.claude_code.days import DayCosts, RecentCosts, ReportedDay
from dashboard_scraper.sources.interface import ClosedPeriod, StoredCosts

_MOST_ROWS = 200_000  # some 100 MB


class ClaudeCodeCosts:
    """Implements `CostSource`. The report of a day has both usage and costs, so a day whose usage
    was fetched in this run is not fetched again; `reported` fetches a day.
    """

    has_totals = False
    come_with_usage = True
    days_at_once = 1

    def __init__(self, reported: Callable[[date], ReportedDay], *, wanted: bool) -> None:
        self.wanted = wanted
        self._reported = reported
        self._recent = RecentCosts(_MOST_ROWS)
        self._currencies: dict[date, str] = {}
        self.keep = self._recent.put

    def fetch_costs(self, window: Window) -> dict[date, list[Cost]]:
        """Every row of each day, sorted; ContractBroken for a day in several currencies, or
        with new code and without any model.
        """
        return {day: self._fetch(day) for day in window.days()}

    def _fetch(self, day: date) -> list[Cost]:
        costs: DayCosts = self._recent.take(day) or self._reported(day).costs
        costs.refuse_missing()
        self._currencies[day] = costs.currency
        return costs.rows

    def currency_of(self, day: date) -> str:
        """The currency of a day that was fetched."""
        return self._currencies.get(day, USD)

    def fetch_totals(self, window: Window) -> dict[date, CostFigures] | None:  # noqa: ARG002
        """None: the report has no figures of the whole day."""
        return None

    def close_period(self, stored: StoredCosts) -> ClosedPeriod | None:  # noqa: ARG002
        """None: nothing of the same scope has a figure for a period."""
        return None

    def fetch_budgets(self, users: Iterable[str]) -> list[Budget] | None:  # noqa: ARG002
        """None: the report has no limits."""
        return None
