"""The Copilot JSON of an export: a file per day, and one for the window if no day is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from dashboard_scraper.exports.copilot_converter import (
    WindowTotals,
    convert,
    json_chunks,
    reported_user_ids,
)
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputFile, OutputRun
from dashboard_scraper.people.audience import Audience, Naming


def ids_by_name(logins: Iterable[str], audience: Audience, naming: Naming) -> dict[str, int]:
    """The `user_id` for each name: one per person, the same in all files of the export."""
    persons = {audience.person(login): naming.name(login) for login in logins}
    ids = reported_user_ids(persons)
    return {name: ids[person] for person, name in persons.items()}


class CopilotFiles:
    """`copilot_metrics_YYYY-MM-DD.json` and `copilot_metrics_aggregated.json`."""

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._run: OutputRun
        self._ids: dict[str, int] = {}
        self._totals = WindowTotals()
        self._written: list[OutputFile] = []

    @property
    def reach(self) -> Window:
        return self._export.window

    @property
    def _aggregated(self) -> Path:
        return self._export.folder / "copilot_metrics_aggregated.json"

    def targets(self) -> list[Path]:
        days = [path for day in self._export.window.days() for path in self.day_targets(day)]
        return [*days, self._aggregated]

    def day_targets(self, day: date) -> list[Path]:
        return [self._export.folder / f"copilot_metrics_{day}.json"]

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        window, enterprise = self._export.window, self._export.enterprise_id
        numbered = enumerate(users)
        return json_chunks(convert(u, window.end, window, enterprise, n) for n, u in numbered)

    def begin(self, run: OutputRun) -> None:
        self._run = run
        logins = run.reader.users(run.source, self._export.window)
        self._ids = ids_by_name(logins, run.audience, run.naming)

    def add_day(self, day: OutputDay) -> None:
        window, enterprise, ids = self._export.window, self._export.enterprise_id, self._ids
        active = self._totals.add(self._run.naming.renamed(day.shown.active))
        records = (
            convert(user, day.day, window, enterprise, ids[user.user], flags)
            for user, flags in active
        )
        (path,) = self.day_targets(day.day)
        written = self._run.publication.add(path, json_chunks(records))
        self._written.append(OutputFile(written, day.day))

    def finish(self) -> list[OutputFile]:
        if not self._run.missing:  # a sum without some days would pass for the window's
            records = self._totals.records(
                self._export.window, self._export.enterprise_id, self._ids
            )
            written = self._run.publication.add(self._aggregated, json_chunks(records))
            self._written.append(OutputFile(written, field="aggregated"))
        self._totals.report_open_sums()
        return self._written
