"""Writes the report of the covered sources, which compares them if there are several."""

from __future__ import annotations

import logging
from datetime import datetime

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.wiring import audience_of, report_options
from dashboard_scraper.errors import DaysMissing, UsageError
from dashboard_scraper.files import replaced_or_set_aside
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.report.options import MOST_DAYS, REPORT
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.store import store_of

logger = logging.getLogger(__name__)


def write_report(settings: Settings, window: Window | None, now: datetime) -> None:
    """Write one page and print its address; UsageError for too many days."""
    if window and len(window) > MOST_DAYS:
        raise UsageError(f"{window} has {len(window):,} days; a page shows {MOST_DAYS} at most")
    # Imported here: the templates take long to import, and a run of one source need not wait.
    from dashboard_scraper.exports.report_file import write_page  # noqa: PLC0415

    prepare_for_many_records()
    audience, options = audience_of(settings), report_options(settings)
    target = settings.covered_dir / REPORT
    store, mode = store_of(settings), settings.file_mode
    write_page(store, settings.covered, window, audience, options, target, utc_day(now), mode)
    print_lines([target.absolute().as_uri()])


def write_comparison(settings: Settings, window: Window | None, now: datetime) -> None:
    """Write the page of several sources after a run that has written the files of each.

    Returns None for a single source, without a store, or for too many days. Days that a source
    lacks are marked on the page, and are no failure here: a source that began later lacks them for
    weeks, and days that a run could not fetch are a failure of that source.
    """
    if len(settings.covered) < 2 or not store_of(settings).exists():
        return
    if window and len(window) > MOST_DAYS:
        logger.warning("%s is not written: it shows at most %d days", REPORT, MOST_DAYS)
        return
    # Around everything: a setting that the page needs, such as the roster, may be wrong.
    with replaced_or_set_aside([settings.export_dir / REPORT]):
        try:
            write_report(settings, window, now)
        except DaysMissing as error:
            logger.warning("%s of all sources: %s", REPORT, error)
