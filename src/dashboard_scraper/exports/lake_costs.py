"""The costs of days as rows of a lake's tables, and what identifies their content."""

from __future__ import annotations

from datetime import date

from dashboard_scraper.exports.arrow_days import CostContents, cost_days
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.stored_costs import StoredCosts
from dashboard_scraper.store import Reader
from dashboard_scraper.store.lake.commits import MadeDay, made_day
from dashboard_scraper.store.lake.tables import COSTS, PSEUDONYMS


class CostsOfDays:
    """The stored days with costs. Their totals are the ledger's: outputs leave no amount out."""

    group = COSTS
    freshness = ("fetched_at",)
    title = "costs"

    def __init__(self, reader: Reader, export: DailyExport) -> None:
        self._audience = export.audience
        self.stored = StoredCosts(reader, export)
        self.totals = reader.cost_ledger_rows(export.source, export.window)
        contents = CostContents(export.audience)
        self.contents = {day: contents.of(row) for day, row in self.stored.days.items()}

    def made(self, day: date) -> MadeDay:
        """The rows of a day, read from the store."""
        row, content = self.stored.days[day], self.contents[day]
        rows = cost_days(row, self.stored.shown(row), self._audience)
        totals = {**self.totals[day], PSEUDONYMS: self._audience.anonymous}
        return made_day(self.group, totals, (rows,), content)
