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
from dashboard_scraper.report.gather import PageTally, reach_of
from dashboard_scraper.report.options import MOST_DAYS, REPORT

logger = logging.getLogger(__name__)


class PageFile:
    """`report.html`, which marks missing days; not written for windows longer than MOST_DAYS."""

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._run: OutputRun
        self._tally: PageTally | None = None

    @property
    def reach(self) -> Window:
        window = self._export.window
        return reach_of(window) if self._export.has_report else window

    def targets(self) -> list[Path]:
        return [self._export.report_path]

    def day_targets(self, day: date) -> list[Path]:  # noqa: ARG002
        return []

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:  # noqa: ARG002
        return ()

    def begin(self, run: OutputRun) -> None:
        self._run = run
        if self._export.has_report:
            self._tally = PageTally(
                run.reader, run.source, self._export.window, run.audience, self._export.tolerance
            )
        else:
            logger.warning("%s is not written: it shows at most %d days", REPORT, MOST_DAYS)

    def add_day(self, day: OutputDay) -> None:
        if self._tally is not None:
            self._tally.add_day(day)

    def finish(self) -> list[OutputFile]:
        if self._tally is None:
            return []
        # Imported here: the templates take long to import, and other runs need not wait for them.
        from dashboard_scraper.report.render import rendered  # noqa: PLC0415

        page = rendered(self._tally.figures(), with_users=self._export.report_users)
        written = self._run.publication.add(self._export.report_path, page)
        return [OutputFile(written, field="report")]
