"""The CSV files of an export with costs: one per day whose costs are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial

from dashboard_scraper.csv_text import guard, render
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.file_outputs import DayFiles
from dashboard_scraper.exports.stored_costs import StoredCosts, content_of
from dashboard_scraper.model.costs import (
    COST_METRICS,
    USD,
    Account,
    Cost,
    CostFigures,
    names_of,
    text_of,
)
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import USER_TITLE
from dashboard_scraper.model.money import ZERO, exact_sum, parse_amount
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputRun
from dashboard_scraper.store import CostLedgerDay

HEADER = (
    *(USER_TITLE, "Account", "Resource Type", "Resource"),
    *(metric.title for metric in COST_METRICS),
    "Currency",
)

_NAME = re.compile(r"[a-z_]+_costs_[0-9-]+\.csv")


def costs_csv(costs: Iterable[Cost], currency: str) -> bytes:
    """One row per user and resource; an empty cell is unknown."""
    return render(HEADER, (_row(cost, currency) for cost in costs))


def _row(cost: Cost, currency: str) -> list[Cell]:
    return [
        *map(guard, names_of(cost)),
        # A negative number is not a formula, so only text is guarded.
        *(text_of(cost.figures[metric]) for metric in COST_METRICS),
        currency,
    ]


def is_costs(name: str) -> bool:
    """Whether a file of an export is one of costs, by its name in the manifest."""
    return bool(_NAME.fullmatch(name))


class CostFiles(DayFiles):
    """`augment_costs_YYYY-MM-DD.csv`, or with another product's prefix."""

    content = "costs"

    def __init__(self, export: DailyExport) -> None:
        super().__init__(export)
        self._costs: StoredCosts

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        added = exact_sum(2 * [parse_amount("0.5")])  # costs of spellings are added up
        figures = CostFigures(1, 2, 3, 4, ZERO, added, ZERO, ZERO)
        yield costs_csv(
            (Cost(user.user, Account.PERSON, "MODEL", "any", figures) for user in users), USD
        )

    def begin(self, run: OutputRun) -> None:
        super().begin(run)
        self._costs = StoredCosts(run.reader, self._export)

    def add_day(self, day: OutputDay) -> None:
        row = self._costs.days.get(day.day)
        if row is None:
            return
        (path,) = self.day_targets(day.day)
        make = partial(self._content, row)
        self._written.append(self._run.write_day(path, day, make, depends_on=content_of(row)))

    def _content(self, row: CostLedgerDay) -> bytes:
        return costs_csv(self._costs.shown(row), row.currency)
