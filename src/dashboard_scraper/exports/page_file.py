"""The HTML report as a file of an export."""

from __future__ import annotations

import logging
from pathlib import Path

from dashboard_scraper.exports.file_outputs import WindowFiles
from dashboard_scraper.output import OutputFile, OutputRun
from dashboard_scraper.report.gather import figures_of
from dashboard_scraper.report.options import MOST_DAYS, REPORT

logger = logging.getLogger(__name__)


class PageFile(WindowFiles):
    """`report.html`, which marks missing days; not written for windows longer than MOST_DAYS."""

    def targets(self) -> list[Path]:
        return [self._export.report_path]

    def begin(self, run: OutputRun) -> None:
        super().begin(run)
        if not self._export.has_report:
            logger.warning("%s is not written: it shows at most %d days", REPORT, MOST_DAYS)

    def finish(self) -> list[OutputFile]:
        export, run = self._export, self._run
        if not export.has_report:
            return []
        # Imported here, since importing the templates takes long and other runs need not wait for
        # it.
        from dashboard_scraper.report.render import rendered  # noqa: PLC0415

        figures = figures_of(
            run.reader, run.source, export.window, run.audience, export.report, run.missing
        )
        page = rendered([figures], with_users=export.report.users)
        written = run.publication.add(export.report_path, page)
        return [OutputFile(written, field="report")]
