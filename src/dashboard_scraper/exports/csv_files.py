"""The CSV files of an export: one per day, with that day's users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dashboard_scraper.exports.csv_tables import columns_csv, users_csv
from dashboard_scraper.exports.file_outputs import DayFiles
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay


class CsvFiles(DayFiles):
    """`augment_metrics_YYYY-MM-DD.csv`, or with another product's prefix."""

    content = "metrics"

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        yield users_csv(users, self._export.source)

    def add_day(self, day: OutputDay) -> None:
        (path,) = self.day_targets(day.day)
        source = self._run.source

        def make() -> bytes | list[bytes]:
            if day.columns is not None:
                return columns_csv(day.columns, source)
            return users_csv(day.shown.users, source)

        self._written.append(self._run.write_day(path, day, make))
