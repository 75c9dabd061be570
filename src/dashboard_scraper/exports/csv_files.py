"""The CSV files of an export: one per day, with that day's users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from dashboard_scraper.exports.csv_tables import users_csv
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputFile, OutputRun
from dashboard_scraper.sources.products import Product


class CsvFiles:
    """`augment_metrics_YYYY-MM-DD.csv`, or with another product's prefix."""

    needs = None

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._run: OutputRun
        self._written: list[OutputFile] = []

    @property
    def reach(self) -> Window:
        return self._export.window

    def targets(self) -> list[Path]:
        return [
            path
            for day in self._export.window.days()
            for path in self._export.of_any_product(partial(self._path, day))
        ]

    def day_targets(self, day: date) -> list[Path]:
        return [self._path(day, self._export.product)]

    def _path(self, day: date, product: Product) -> Path:
        return self._export.folder / f"{product.prefix}_metrics_{day}.csv"

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        yield users_csv(users, self._export.source)

    def begin(self, run: OutputRun) -> None:
        self._run = run

    def add_day(self, day: OutputDay) -> None:
        (path,) = self.day_targets(day.day)
        run = self._run
        make = lambda: users_csv(day.shown.users, run.source)  # noqa: E731
        self._written.append(run.write_day(path, day, make))

    def finish(self) -> list[OutputFile]:
        return self._written
