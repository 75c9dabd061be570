"""The daily job for each source: the same for the command line, for cron and for `watch`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from dashboard_scraper.cli.fetching import command_of, fetch_daily
from dashboard_scraper.cli.notifying import Notified
from dashboard_scraper.cli.observing import observed
from dashboard_scraper.cli.several import Work, for_each_source
from dashboard_scraper.clock import Clock, utc_now
from dashboard_scraper.errors import OutputFailed, ScraperError
from dashboard_scraper.files import set_aside
from dashboard_scraper.model.dates import DAYS, Window, utc_day
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import info_of

logger = logging.getLogger(__name__)


def run_daily(
    settings: Settings,
    window: Window | None = None,
    *,
    refresh: bool = False,
    clock: Clock = utc_now,
    only: Collection[str] | None = None,
    keeps_session: bool = False,
    passed_over: int | None = None,
    around: Callable[[Work], Work] = lambda work: work,
) -> None:
    """`--last-28-days`, or `--daily` with its window, for the covered sources or `only` some of
    them.

    `around` wraps the work of each source. `keeps_session` says that the caller keeps sessions
    alive between runs; nobody is notified of the exit code `passed_over`.
    """

    def fetch(each: Settings) -> None:
        fetch_daily(each, window, refresh=refresh, clock=clock)

    command = command_of(window)
    with (
        observed(settings, command, window, clock=clock) as each,
        Notified(
            settings,
            command,
            window,
            clock=clock,
            keeps_session=keeps_session,
            passed_over=passed_over,
        ) as notified,
        _comparison_after(settings, window, clock),
    ):
        for_each_source(settings, around(each(notified.each(fetch))), only)


def export_daily(settings: Settings, window: Window | None) -> None:
    """The same with `--offline`: write the files from what is stored."""
    from dashboard_scraper.cli.exporting import export_files  # noqa: PLC0415 - see `_compare`

    now = utc_now()

    def export(each: Settings) -> None:
        days = window or info_of(each.source).last_days(each, DAYS, utc_day(now))
        export_files(each, days, None)

    with _comparison_after(settings, window, lambda: now):
        for_each_source(settings, export)


@contextlib.contextmanager
def _comparison_after(settings: Settings, window: Window | None, clock: Clock) -> Iterator[None]:
    """Afterwards, write the tables and the page of several sources, even if a source failed: the
    command then ends with that source's error, which says what to do, and an error of these files
    is only logged. If the run was interrupted, earlier tables are set aside: they do not say which
    days they cover.
    """
    with _followed_by(lambda: _compare(settings, window, clock())):
        try:
            yield
        except ScraperError:
            raise
        except BaseException:  # a signal, or an unexpected error, after which nothing is trusted
            _set_tables_aside(settings)
            raise


@contextlib.contextmanager
def _followed_by(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` after the block, even if the block failed: then the block's error is raised, and an
    error of `work` is only logged.
    """
    try:
        yield
    except ScraperError:
        try:
            work()
        except ScraperError as error:
            logger.error("%s", error)  # noqa: TRY400 - no traceback: the message says what to do
        raise
    work()


def _set_tables_aside(settings: Settings) -> None:
    if len(settings.covered) < 2:
        return
    from dashboard_scraper.cli.people import tables_in  # noqa: PLC0415 - see `_compare`

    try:
        set_aside(tables_in(settings.export_dir))
    except OutputFailed as error:
        logger.error("%s", error)  # noqa: TRY400 - the command ends with the first error


def _compare(settings: Settings, window: Window | None, now: datetime) -> None:
    if len(settings.covered) < 2:
        return
    # Imported here: a run of one source need not wait for imports that it does not use.
    from dashboard_scraper.cli.output import print_lines  # noqa: PLC0415
    from dashboard_scraper.cli.people import export_tables  # noqa: PLC0415
    from dashboard_scraper.cli.reporting import write_comparison  # noqa: PLC0415

    # The page is written even if the tables cannot be: last night's page must not stay beside them.
    with _followed_by(lambda: write_comparison(settings, window, now)):
        print_lines(export_tables(settings, window, utc_day(now)))
