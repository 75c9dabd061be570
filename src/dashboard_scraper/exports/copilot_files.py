"""The Copilot JSON of an export: a file per day, and one for the window if no day is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from dashboard_scraper.exports.copilot_converter import (
    NEEDS,
    PLACES,
    Flags,
    WindowTotals,
    flags_by_name,
    head_of,
    json_array,
    line_of,
    lines_of,
    md5_user_id,
    reported_user_ids,
    stamp_of,
)
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.file_outputs import FileOutput
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputFile, OutputRun
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.shown_people import unknown_of_merged
from dashboard_scraper.sources.registry import info_of

_RULES = 2
"""To be raised whenever the records of people with several spellings change: no sample of the
format shows that, and files made by other rules must not count as the same.
"""


def ids_by_name(logins: Iterable[str], audience: Audience, naming: Naming) -> dict[str, int]:
    """The `user_id` for each name: one per person and the same in all files of the export."""
    persons = {audience.person(login): naming.name(login) for login in logins}
    ids = reported_user_ids(persons)
    return {name: ids[person] for person, name in persons.items()}


def _unusual_names(
    logins: Iterable[str], ids: Mapping[str, int], run: OutputRun
) -> list[tuple[str, str, int]]:
    """Everybody whose name or id depends on the other people of the window, with both: because of a
    newer spelling of the address, or a taken id. Only these can differ between windows.
    """
    found = []
    for login in sorted(logins):
        name, person = run.naming.name(login), run.audience.person(login)
        usual = run.audience.rename(login)
        if (name, ids[name]) != (usual, md5_user_id(person)):
            found.append((login, name, ids[name]))
    return found


class CopilotFiles(FileOutput):
    """`copilot_metrics_YYYY-MM-DD.json` and `copilot_metrics_aggregated.json`."""

    needs = NEEDS

    def __init__(self, export: DailyExport) -> None:
        super().__init__(export)
        self._heads: dict[str, bytes] = {}
        self._renamed: set[str] = set()
        self._unusual: list[tuple[str, str, int]] = []
        self._written: list[OutputFile] = []

    @property
    def _aggregated(self) -> Path:
        return self._export.folder / "copilot_metrics_aggregated.json"

    def targets(self) -> list[Path]:
        days = [path for day in self._export.window.days() for path in self.day_targets(day)]
        return [*days, self._aggregated]

    def day_targets(self, day: date) -> list[Path]:
        return [self._export.folder / f"copilot_metrics_{day}.json"]

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        lines = [
            line_of(head_of(number, user.user), values_of(user.figures))
            for number, user in enumerate(users)
        ]
        return json_array(self._stamp(self._export.window.end), lines)

    def begin(self, run: OutputRun) -> None:
        super().begin(run)
        logins = run.reader.users(run.source, self._export.window)
        ids = ids_by_name(logins, run.audience, run.naming)
        self._renamed = {login for login in logins if run.naming.name(login) != login}
        self._unusual = _unusual_names(logins, ids, run)
        self._heads = {name: head_of(number, name) for name, number in ids.items()}

    def add_day(self, day: OutputDay) -> None:
        def make() -> Iterable[bytes]:
            return json_array(self._stamp(day.day), self._lines(day))

        def restamp(content: bytes, window: Window) -> bytes:
            # JSON escapes quotes in texts, so no name looks like a stamp.
            before = stamp_of(day.day, window, self._export.enterprise_id)
            return content.replace(before, self._stamp(day.day))

        (path,) = self.day_targets(day.day)
        depends_on = _RULES, self._unusual
        written = self._run.write_day(path, day, make, depends_on, restamp)
        self._written.append(written)

    def _lines(self, day: OutputDay) -> Iterable[bytes]:
        if day.active is not None and self._renamed.isdisjoint(day.active.names):
            return lines_of(self._heads, day.active)
        run, users, flags = self._run, day.usage.users, dict[str, Flags]()
        if len(day.shown.users) < len(users):
            flags = flags_by_name(users, run.audience, run.naming.name)
        return (
            line_of(self._heads[user.user], values_of(user.figures), flags.get(user.user))
            for user in run.naming.renamed(day.shown.active)
        )

    def _stamp(self, day: date) -> bytes:
        return stamp_of(day, self._export.window, self._export.enterprise_id)

    def finish(self) -> list[OutputFile]:
        export, run = self._export, self._run
        days = [day for day in export.window.days() if day not in run.missing]
        include = run.audience.service_accounts
        metrics = info_of(run.source).metrics
        sums = run.reader.sums_by_user(run.source, days, metrics, service_accounts=include)
        totals = WindowTotals(sums, run.naming.name)
        ledger = run.reader.ledger(run.source, export.window)
        rows = [row for day, row in ledger.items() if day not in run.missing]
        logins = run.reader.users(run.source, export.window)
        for name, counts in unknown_of_merged(run.reader, rows, PLACES, logins, run.naming):
            totals.hide_unknown(name, counts)
        if not run.missing:  # without some days, the sum would look like the window's
            lines = totals.lines(self._heads)
            stamp = self._stamp(export.window.end)
            written = run.publication.add(self._aggregated, json_array(stamp, lines))
            self._written.append(OutputFile(written, field="aggregated"))
        totals.report_open_sums()
        return self._written
