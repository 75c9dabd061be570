"""The daily job for each source: the same for the command line, for cron and for `watch`."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.cli.fetching import command_of, fetch_daily
from dashboard_scraper.cli.notifying import Notified
from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.people import export_tables
from dashboard_scraper.cli.several import for_each_source
from dashboard_scraper.clock import utc_now
from dashboard_scraper.model.dates import DAYS, Window, utc_day
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.interface import Clock
from dashboard_scraper.sources.registry import info_of

Work = Callable[[Settings], None]
"""What is done for one source, with its settings."""


def run_daily(
    settings: Settings,
    window: Window | None = None,
    *,
    refresh: bool = False,
    clock: Clock = utc_now,
    only: Collection[str] | None = None,
    keeps_session: bool = False,
    around: Callable[[Work], Work] = lambda work: work,
) -> None:
    """`--last-28-days`, or `--daily` with its window, for the covered sources or `only` some.

    `around` wraps the work of each source. `keeps_session` says that the caller keeps sessions
    alive between runs.
    """

    def fetch(each: Settings) -> None:
        fetch_daily(each, window, refresh=refresh, clock=clock)

    command = command_of(window)
    with Notified(settings, command, window, clock=clock, keeps_session=keeps_session) as notified:
        try:
            for_each_source(settings, around(notified.each(fetch)), only)
        finally:
            print_lines(export_tables(settings, window, utc_day(clock())))


def export_daily(settings: Settings, window: Window | None) -> None:
    """The same with `--offline`: write the files of what is stored."""
    today = utc_day(utc_now())

    def export(each: Settings) -> None:
        days = window or info_of(each.source).last_days(each, DAYS, today)
        export_files(each, days, None)

    try:
        for_each_source(settings, export)
    finally:
        print_lines(export_tables(settings, window, today))
