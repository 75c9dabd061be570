"""`report`: write a page of figures and charts from the store."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window, utc_day

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The days; by default the newest."""
    add_range(parser, end="last day (default: START alone)", optional=True)
    add_source(parser, several=True)


def run(args: argparse.Namespace) -> None:
    """Write the page for the given days, or the newest."""
    window = complete_range_of(args) if args.start else None
    write_report(settings_of(args), window, datetime.now(UTC))


def write_report(settings: Settings, window: Window | None, now: datetime) -> None:
    """Write one page and print its address; UsageError for too many days."""
    from dashboard_scraper.cli.memory import prepare_for_many_records
    from dashboard_scraper.cli.output import print_lines
    from dashboard_scraper.cli.wiring import audience_of, report_options
    from dashboard_scraper.exports.report_file import write_page
    from dashboard_scraper.report.options import MOST_DAYS, REPORT
    from dashboard_scraper.store import store_of

    if window and len(window) > MOST_DAYS:
        raise UsageError(f"{window} has {len(window):,} days; a page shows {MOST_DAYS} at most")
    prepare_for_many_records()
    audience, options = audience_of(settings), report_options(settings)
    target = settings.export_dir / REPORT
    store, mode = store_of(settings), settings.file_mode
    write_page(store, settings.covered, window, audience, options, target, utc_day(now), mode)
    print_lines([target.absolute().as_uri()])
