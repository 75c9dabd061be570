"""The HTML report as a file of an export."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputFile, OutputRun
from dashboard_scraper.report.gather import figures_of
from dashboard_scraper.report.options import MOST_DAYS, REPORT

logger = logging.getLogger(__name__)


class PageFile:
    """`report.html`, which marks missing days; not written for windows longer than MOST_DAYS."""

    needs = None

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._run: OutputRun

    @property
    def reach(self) -> Window:
        return self._export.window

    def targets(self) -> list[Path]:
        return [self._export.report_path]

    def day_targets(self, day: date) -> list[Path]:  # noqa: ARG002
        return []

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:  # noqa: ARG002
        return ()

    def begin(self, run: OutputRun) -> None:
        self._run = run
        if not self._export.has_report:
            logger.warning("%s is not written: it shows at most %d days", REPORT, MOST_DAYS)

    def add_day(self, day: OutputDay) -> None:
        """Nothing: the figures are sums over days, which the store adds up itself."""

    def finish(self) -> list[OutputFile]:
        export, run = self._export, self._run
        if not export.has_report:
            return []
        # Imported here: the templates take long to import, and other runs need not wait for them.
        from dashboard_scraper.report.render import rendered  # noqa: PLC0415

        figures = figures_of(
            run.reader, run.source, export.window, run.audience, export.report, run.missing
        )
        page = rendered([figures], with_users=export.report.users)
        written = run.publication.add(export.report_path, page)
        return [OutputFile(written, field="report")]
