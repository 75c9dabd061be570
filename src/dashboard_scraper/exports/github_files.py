"""GitHub's reports as files below `github_reports/`, for 28 days and for single days."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.daily_folders import GITHUB_FOLDER
from dashboard_scraper.exports.file_outputs import WindowFiles
from dashboard_scraper.files import make_folder
from dashboard_scraper.github.kinds import Report, Scope, Subject
from dashboard_scraper.github.lines import head_of, user_part
from dashboard_scraper.github.records import Part, cells_of_figures
from dashboard_scraper.github.reports import NEEDS, GithubReports, persons_in, stamped
from dashboard_scraper.model.dates import DAYS, Window, runs_of_days
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputFile, OutputRun
from dashboard_scraper.publication import PendingFile, WrittenFile

logger = logging.getLogger(__name__)


def report_path(folder: Path, report: Report) -> Path:
    """A report's file in the folder of an export."""
    whole = report.subject is Subject.WHOLE
    prefix = "" if whole or report.scope is Scope.ENTERPRISE else f"{report.scope.value}-"
    day = "" if report.latest else f"_{report.window.end}"
    return folder / GITHUB_FOLDER / f"{prefix}{report.name}{day}{'.json' if whole else '.ndjson'}"


def all_reports(window: Window) -> list[Report]:
    """The reports that an export of the window may contain.

    A window of 28 days gets the 28-day reports and the reports of its last day; any other window
    gets the reports of each of its days. Daily exports of 28 days would otherwise repeat every
    day's files 28 times.
    """
    month = len(window) == DAYS
    days = [window.end] if month else list(window.days())
    found = [
        Report(scope, subject, Window(day, day), latest=False)
        for day in days
        for scope in Scope
        for subject in Subject
    ]
    if month:
        found += [
            Report(scope, subject, window, latest=True)
            for scope in Scope
            for subject in (Subject.WHOLE, Subject.USERS)
        ]
    return found


def is_users_28_day(report: Report) -> bool:
    """Whether it has a line for every user and day: that makes most of an export's bytes, every
    night.
    """
    return report.latest and report.subject is Subject.USERS


def report_paths(folder: Path, window: Window) -> list[Path]:
    """Every file that an export of the window may contain."""
    return [report_path(folder, report) for report in all_reports(window)]


def wanted_reports(export: DailyExport) -> list[Report]:
    """The window's reports that the settings ask for; reports on teams only if teams are known."""
    return [
        report
        for report in all_reports(export.window)
        if (report.subject is not Subject.TEAMS or export.audience.has_teams)
        and (export.github.users_28_day_files or not is_users_28_day(report))
    ]


def listed_report(path: Path, written: WrittenFile) -> OutputFile:
    """A report at this path, as the manifest lists it."""
    named = msgspec.structs.replace(written, name=f"{GITHUB_FOLDER}/{path.name}")
    return OutputFile(named, field="github_reports")


class GithubFiles(WindowFiles):
    """Every report, without its missing days; not written if all of its days are missing."""

    needs = NEEDS

    def __init__(self, export: DailyExport) -> None:
        super().__init__(export)
        self._reports: GithubReports
        self._wanted: list[Report] = []
        self._wanted_on: dict[date, list[Report]] = {}
        self._latest: dict[Report, PendingFile] = {}
        self._of_days: dict[Report, WrittenFile] = {}
        self._totals: dict[date, dict[str, Any]] = {}
        self._unwritten: list[date] = []

    def targets(self) -> list[Path]:
        return report_paths(self._export.folder, self._export.window)

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        for user in users:
            part = Part("editor", "language", user.figures)
            for parts in ([], [part]):
                yield user_part(
                    head_of(1, user.user), cells_of_figures(user.figures), parts, 1.5, 2
                )

    def begin(self, run: OutputRun) -> None:
        options, folder = self._export.github, self._export.folder
        super().begin(run)
        self._wanted = [
            report
            for report in wanted_reports(self._export)
            if (report.scope is Scope.ENTERPRISE or options.organization_id)
            and not all(day in run.missing for day in report.window.days())
        ]
        if not self._wanted:
            return
        make_folder(folder / GITHUB_FOLDER, run.publication.mode)
        persons = persons_in(run.reader, run.source, run.audience)
        self._reports = GithubReports(run.reader, run.source, run.audience, options, persons)
        # Reports of consecutive days look back at nearly the same days, which are read once. Every
        # day with a report on users also has one on the whole.
        wholes = [each.window for each in self._wanted if each.subject is Subject.WHOLE]
        for window in runs_of_days(day for whole in wholes for day in whole.days()):
            self._reports.count_people(window)
        for report in self._wanted:
            for day in report.window.days():
                self._wanted_on.setdefault(day, []).append(report)
            if is_users_28_day(report):
                self._latest[report] = run.publication.begin(report_path(folder, report))

    def add_day(self, day: OutputDay) -> None:
        wanted = self._wanted_on.get(day.day, [])
        made = self._write_lines(day, [each for each in wanted if each.subject is Subject.USERS])
        if any(report.subject is Subject.WHOLE for report in wanted):
            with_parts = day.ledger_day.editor_language
            users = day.counted.users if with_parts else []
            self._totals[day.day] = self._reports.totals(day.ledger_day, users)
            if not made:
                self._unwritten.append(day.day)

    def _write_lines(self, day: OutputDay, reports: list[Report]) -> bool:
        """Add the day's lines to the reports on users; returns whether any had to be made."""
        lines: Callable[[], Iterable[bytes]] = partial(self._reports.user_lines, day)
        if len(reports) > 1:  # they have the same lines; those of one are not held in memory
            lines = cache(lambda: list(self._reports.user_lines(day)))
        made: list[Report] = []

        @cache
        def depends_on() -> list[Any]:
            return self._reports.lines_depend_on(day.ledger_day)

        def content(report: Report, stamp: bytes) -> Iterator[bytes]:
            made.append(report)
            return stamped(lines(), stamp)

        for report in reports:
            stamp = self._reports.stamp(report, day.day)
            make = partial(content, report, stamp)
            if report in self._latest:
                for piece in make():
                    self._latest[report].write(piece)
            else:
                path = report_path(self._export.folder, report)
                file = self._run.write_day(path, day, make, (stamp, depends_on()))
                self._of_days[report] = file.written
        return bool(made)

    def finish(self) -> list[OutputFile]:
        if not self._wanted:
            return []
        self._reports.note_differences(self._unwritten)
        written = [self._finish(report) for report in self._wanted]
        for remark in self._reports.remarks():
            logger.warning("%s", remark)
        return written

    def _finish(self, report: Report) -> OutputFile:
        path, add = report_path(self._export.folder, report), self._run.publication.add
        if report in self._of_days:
            written = self._of_days[report]
        elif report.subject is Subject.USERS:
            written = self._latest[report].finish()
        elif report.subject is Subject.TEAMS:
            written = add(path, self._reports.teams(report))
        else:
            there = (day for day in report.window.days() if day in self._totals)
            totals = [self._totals[day] for day in there]
            written = add(path, self._reports.whole(report, totals))
        return listed_report(path, written)
