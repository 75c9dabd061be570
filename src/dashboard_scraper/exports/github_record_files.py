"""GitHub's reports as files below `github_reports/`, from records that came from GitHub."""

from __future__ import annotations

import logging
from pathlib import Path

from dashboard_scraper.exports.daily_folders import GITHUB_FOLDER
from dashboard_scraper.exports.file_outputs import WindowFiles
from dashboard_scraper.exports.github_files import (
    listed_report,
    report_path,
    report_paths,
    wanted_reports,
)
from dashboard_scraper.files import make_folder
from dashboard_scraper.github.kinds import Report
from dashboard_scraper.github.recorded import RecordedReports, recorded_persons
from dashboard_scraper.output import OutputFile

logger = logging.getLogger(__name__)


class GithubRecordFiles(WindowFiles):
    """Every report for which at least one day has records, without the days that have none."""

    def targets(self) -> list[Path]:
        return report_paths(self._export.folder, self._export.window)

    def finish(self) -> list[OutputFile]:
        run = self._run
        persons = recorded_persons(run.reader, run.source, run.audience)
        reports = RecordedReports(run.reader, run.source, run.audience, persons, run.missing)
        wanted = [
            report
            for report in wanted_reports(self._export)
            if len(reports.missing(report)) < len(report.days)
        ]
        if wanted:
            make_folder(self._export.folder / GITHUB_FOLDER, run.publication.mode)
        written = [self._write(reports, report) for report in wanted]
        for remark in reports.remarks():
            logger.warning("%s", remark)
        return written

    def _write(self, reports: RecordedReports, report: Report) -> OutputFile:
        path = report_path(self._export.folder, report)
        return listed_report(path, self._run.publication.add(path, reports.chunks(report)))
