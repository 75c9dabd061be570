"""Base classes of outputs: of a whole window, and with a file for each day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import ClassVar

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import Needs, OutputDay, OutputFile, OutputRun
from dashboard_scraper.sources.products import Product


class FileOutput:
    """An output that reads the days of the export's window."""

    needs: Needs | None = None

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._run: OutputRun

    @property
    def reach(self) -> Window:
        return self._export.window

    def begin(self, run: OutputRun) -> None:
        self._run = run


class WindowFiles(FileOutput):
    """An output whose files depend on several days: none stays valid if another day changes."""

    def day_targets(self, day: date) -> list[Path]:  # noqa: ARG002
        """None: even GitHub's report of one day looks at people over the 27 days before it."""
        return []

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:  # noqa: ARG002
        return ()

    def add_day(self, day: OutputDay) -> None:
        """Do nothing, unless a format needs whole days: the database computes sums over days."""


class DayFiles(FileOutput):
    """An output with a CSV file for each day: `augment_metrics_YYYY-MM-DD.csv`, or with another
    product's prefix.
    """

    content: ClassVar[str]
    """What its files contain, as it is in their names."""

    def __init__(self, export: DailyExport) -> None:
        super().__init__(export)
        self._written: list[OutputFile] = []

    def targets(self) -> list[Path]:
        return [
            path
            for day in self._export.window.days()
            for path in self._export.of_any_product(partial(self._path, day))
        ]

    def day_targets(self, day: date) -> list[Path]:
        return [self._path(day, self._export.product)]

    def _path(self, day: date, product: Product) -> Path:
        return self._export.folder / f"{product.prefix}_{self.content}_{day}.csv"

    def finish(self) -> list[OutputFile]:
        return self._written
