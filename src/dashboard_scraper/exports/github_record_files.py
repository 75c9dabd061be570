"""GitHub's reports as files below `github_reports/`, from records that came from GitHub."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from dashboard_scraper.exports.daily_folders import GITHUB_FOLDER
from dashboard_scraper.exports.file_outputs import WindowFiles
from dashboard_scraper.exports.github_files import (
    all_reports,
    is_users_28_day,
    report_path,
    report_paths,
)
from dashboard_scraper.files import make_folder
from dashboard_scraper.github.kinds import Report, Subject
from dashboard_scraper.github.recorded import RecordedReports, recorded_persons
from dashboard_scraper.output import OutputFile

logger = logging.getLogger(__name__)


class GithubRecordFiles(WindowFiles):
    """Every report of which a day has records, without the days that have none."""

    def targets(self) -> list[Path]:
        return report_paths(self._export.folder, self._export.window)

    def finish(self) -> list[OutputFile]:
        run, audience = self._run, self._run.audience
        persons = recorded_persons(run.reader, run.source, audience)
        reports = RecordedReports(run.reader, run.source, audience, persons, run.missing)
        wanted = [
            report
            for report in all_reports(self._export.window)
            if (report.subject is not Subject.TEAMS or audience.has_teams)
            and (self._export.github.users_28_day_files or not is_users_28_day(report))
            and len(reports.missing(report)) < len(report.days)
        ]
        if wanted:
            make_folder(self._export.folder / GITHUB_FOLDER, run.publication.mode)
        written = [self._write(reports, report) for report in wanted]
        for remark in reports.remarks():
            logger.warning("%s", remark)
        return written

    def _write(self, reports: RecordedReports, report: Report) -> OutputFile:
        path = report_path(self._export.folder, report)
        written = self._run.publication.add(path, reports.chunks(report))
        named = msgspec.structs.replace(written, name=f"{GITHUB_FOLDER}/{written.name}")
        return OutputFile(named, field="github_reports")
