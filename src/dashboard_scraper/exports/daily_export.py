"""An export of a window: where its files go, and which users they show."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import date, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dashboard_scraper.errors import DaysMissing, ScraperError
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.exports.notes import NOTES
from dashboard_scraper.github.kinds import GithubOptions
from dashboard_scraper.model.dates import Window, iso_utc
from dashboard_scraper.model.listing import listed_days, shortened
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.pseudonyms import Rename, hidden
from dashboard_scraper.report.options import MOST_DAYS, REPORT, ReportOptions
from dashboard_scraper.sources.products import Product
from dashboard_scraper.sources.registry import info_of, products
from dashboard_scraper.store import Reader

logger = logging.getLogger(__name__)

_LONGEST_REASON = 1000


class Outputs(msgspec.Struct, frozen=True):
    """EXPORT_DIR, the mode of all files, and how many daily exports to keep there."""

    folder: Path
    mode: int
    retention: int | None

    def of_window(self, window: Window) -> Path:
        """The folder of a window's daily export."""
        return self.folder / f"daily_exports_{window.start}_to_{window.end}"


class DailyExport(msgspec.Struct, frozen=True):
    """Where a window's files go, what identifies their records, and which users they show.

    `folder` is the window's folder below `outputs`, or one that the user named. A day is settled if
    it was fetched `settle_days` or more after its end, and its costs if `cost_settle_days` after
    it. A day is unreconciled if its users and the tenant's totals differ by more than the
    `tolerance`.
    """

    window: Window
    folder: Path
    outputs: Outputs
    source: str
    settle_days: int
    cost_settle_days: int
    enterprise_id: str
    audience: Audience
    github: GithubOptions
    report: ReportOptions
    tolerance: Tolerance

    @property
    def report_path(self) -> Path:
        """The page of the window's figures."""
        return self.folder / REPORT

    @property
    def notes_path(self) -> Path:
        """The file that lists the days in doubt; written only if there are any."""
        return self.folder / NOTES

    @property
    def has_report(self) -> bool:
        """Whether the window is short enough for a page."""
        return len(self.window) <= MOST_DAYS

    @property
    def product(self) -> Product:
        """The source's product."""
        return info_of(self.source).product

    def of(self, source: str, window: Window | None = None) -> DailyExport:
        """The same export for another source, with names understood as that source means them."""
        audience, window = self.audience.of(source), window or self.window
        return replace(self, source=source, audience=audience, window=window)

    def of_any_product(self, path_of: Callable[[Product], Path]) -> list[Path]:
        """The paths of a file that is named after the product, for every product: the file of a
        source that was exported to this folder earlier must not look current.
        """
        return [path_of(product) for product in products()]

    def results(self) -> list[Path | str]:
        """What a run prints: the folder, and the URL that opens the page in a browser."""
        page = [self.report_path.absolute().as_uri()] if self.has_report else []
        return [self.folder, *page]

    @property
    def manifest_path(self) -> Path:
        """The file with the status of each day and the SHA-256 of each file."""
        return self.folder / MANIFEST

    @property
    def is_named_by_window(self) -> bool:
        """Whether it is one of the daily exports below EXPORT_DIR, not in a folder that the user
        named.
        """
        return self.folder == self.outputs.of_window(self.window)


def advice_of(reader: Reader, source_name: str, *, of_several: bool = False) -> str:
    """What the user can do about days of a source that are not in the store. With `of_several`
    sources, it does not suggest to choose another one.
    """
    if reader.moment:
        return not_known_then(reader.moment)
    names = reader.sources()
    others = [name for name in names if name != source_name]
    if source_name in names or not others or of_several:
        return f"fetch them first from the source {source_name}, with backfill"
    return (
        f"the store has no days of the source {source_name}, but has some of"
        f" {' and '.join(others)}: choose with --source or METRICS_SOURCE"
    )


def not_known_then(moment: datetime) -> str:
    """Why days are missing as of an earlier moment; later fetches cannot add them."""
    return f"the store did not have them at {iso_utc(moment)}"


def reason_of(error: ScraperError, rename: Rename) -> str:
    """An error as a manifest quotes it: with pseudonyms for names, and shortened."""
    return shortened(hidden(str(error), rename, error.names), _LONGEST_REASON)


def summarise(window: Window, missing: Collection[date], advice: str, of: str = "") -> None:
    """Log how many days there are, with `of` in front as the name of what they belong to; raises
    DaysMissing if some are missing.
    """
    total, whose = len(window), f"{of}: " if of else ""
    logger.info("%s%s: %d of %d days", whose, window, total - len(missing), total)
    if missing:
        listed = listed_days(missing)
        raise DaysMissing(f"{whose}{len(missing)} of {total} days are missing: {listed}; {advice}")
