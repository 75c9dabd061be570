"""The stored costs of a window, as every export reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property

import msgspec

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.model.costs import Cost, CostDifference
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import Doubt, DoubtKind
from dashboard_scraper.model.listing import listed
from dashboard_scraper.people.shown_costs import shown_costs
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import CostLedgerDay, Reader


class StoredCosts:
    """The days whose costs are stored, oldest first; each is loaded only when it is asked for."""

    def __init__(self, reader: Reader, export: DailyExport) -> None:
        self._reader = reader
        self._export = export
        self.days = reader.cost_ledger(export.source, export.window)

    @cached_property
    def expected(self) -> bool:
        """Whether the store has costs of the source, perhaps of other days."""
        return bool(self.days) or self._reader.has_costs(self._export.source)

    @property
    def missing(self) -> list[date]:
        """The days of the window whose costs are not stored: unknown, which is not 0."""
        return [day for day in self._export.window.days() if day not in self.days]

    @property
    def unreconciled(self) -> dict[date, list[CostDifference]]:
        """The differences of each day between its rows and the source's own figures."""
        return {day: row.unreconciled for day, row in self.days.items() if row.unreconciled}

    def shown(self, row: CostLedgerDay) -> list[Cost]:
        """A day's costs as outputs show them; StoreFailed if they do not match the ledger."""
        return shown_costs(self._reader.costs(row), self._export.audience)


def reason_without_costs(source: str) -> str | None:
    """Why a source's costs cannot be exported; None if it may have some."""
    info = info_of(source)
    return None if info.has_costs else f"{info.title} reports no costs: there are none to export"


def cost_doubts(unreconciled: Mapping[date, Sequence[CostDifference]]) -> list[Doubt]:
    """The doubts about the costs of days; differences of money are never tolerated."""
    return [
        Doubt(
            Window(day, day),
            DoubtKind.UNRECONCILED,
            f"costs: {listed(differences, separator='; ')}",
        )
        for day, differences in unreconciled.items()
    ]


def content_of(row: CostLedgerDay) -> str:
    """A digest of what identifies a day's costs, without reading them.

    Equal only if the store has the same version of them and nobody was removed since.
    """
    content = (row.source, row.day, row.version, row.accepted_at, row.forgotten, row.currency)
    figures = (row.sums, row.total, row.unreconciled)
    return hashlib.blake2b(msgspec.json.encode((content, figures)), digest_size=16).hexdigest()
