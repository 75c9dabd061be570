"""An export of a window's days: where its files go, and whom they show."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dashboard_scraper.errors import DaysMissing, ScraperError
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.exports.notes import NOTES
from dashboard_scraper.github.reports import GithubOptions
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed_days, shortened
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.pseudonyms import Rename, hidden
from dashboard_scraper.report.options import MOST_DAYS, REPORT
from dashboard_scraper.store import Reader

logger = logging.getLogger(__name__)

_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Outputs:
    """The folder EXPORT_DIR, the mode of all files, and how many daily exports stay there."""

    folder: Path
    mode: int
    retention: int | None

    def of_window(self, window: Window) -> Path:
        """The folder of a window's daily export."""
        return self.folder / f"daily_exports_{window.start}_to_{window.end}"


@dataclass(frozen=True, slots=True)
class DailyExport:
    """Where a window's files go, what is stamped on the records, and whom they show.

    `folder` is that of the window in `outputs`, or one that the user named. Figures are those of
    `source`; those of a day have settled when it was fetched `settle_days` after its end, and are
    unreconciled beyond the `tolerance`.
    """

    window: Window
    folder: Path
    outputs: Outputs
    source: str
    settle_days: int
    enterprise_id: str
    audience: Audience
    github: GithubOptions
    report_users: bool
    tolerance: Tolerance

    @property
    def report_path(self) -> Path:
        """The page of the window's figures."""
        return self.folder / REPORT

    @property
    def notes_path(self) -> Path:
        """The days that are in doubt; only where some are."""
        return self.folder / NOTES

    @property
    def has_report(self) -> bool:
        """Whether a page can show so many days."""
        return len(self.window) <= MOST_DAYS

    def results(self) -> list[Path | str]:
        """What to tell of it: its folder, and the address at which a browser opens the page."""
        page = [self.report_path.absolute().as_uri()] if self.has_report else []
        return [self.folder, *page]

    @property
    def manifest_path(self) -> Path:
        """What became of each day, with the SHA-256 of each file."""
        return self.folder / MANIFEST

    @property
    def is_named_by_window(self) -> bool:
        """Whether it is one of the daily exports of EXPORT_DIR."""
        return self.folder == self.outputs.of_window(self.window)


def advice_of(reader: Reader, source_name: str) -> str:
    """What to do where days of a source are not in the store."""
    others = [name for name in reader.sources() if name != source_name]
    if reader.ledger(source_name) or not others:
        return f"fetch them first from the source {source_name}"
    return (
        f"the store has no day of the source {source_name}; it has some of {' and '.join(others)}:"
        " choose with --source or METRICS_SOURCE"
    )


def reason_of(error: ScraperError, rename: Rename) -> str:
    """What a manifest says of an error."""
    return shortened(hidden(str(error), rename, error.names), _LONGEST_REASON)


def summarise(window: Window, missing: Collection[date], advice: str) -> None:
    """Tell how many days there are; raises DaysMissing where some are missing."""
    total = len(window)
    logger.info("%s: %d of %d days", window, total - len(missing), total)
    if missing:
        raise DaysMissing(
            f"{len(missing)} of {total} days are missing: {listed_days(missing)}; {advice}"
        )
