"""`status`: show which days are stored, missing or in doubt."""

from __future__ import annotations

import argparse
import logging
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, duration
from dashboard_scraper.cli.options import add_json, add_source, settings_of
from dashboard_scraper.sources.registry import ALL_SOURCES, info_of

if TYPE_CHECKING:
    from dashboard_scraper.across.summary import PeopleSummary
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.store import Reader

logger = logging.getLogger(__name__)

_RUNS = 30


def configure(parser: Parser) -> None:
    """The format, and the checks that exit with an error."""
    add_source(parser, several=True)
    add_json(parser)
    parser.add_argument(
        "--runs",
        action="store_true",
        help=f"list the newest {_RUNS} runs instead, those of --source if given: when each ran, how"
        " it ended, what it fetched",
    )
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="DURATION",
        help="exit with 8 if the newest day ended longer ago: 36h, 2d or 90m, for example",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="also test the session, token or key; exit with 3 if it is not accepted",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also read every row, and compare it with the ledger; exit with 1 if they differ",
    )


def run(args: argparse.Namespace) -> None:
    """Print the status as of now."""
    settings = settings_of(args)
    if args.runs:
        only = None if args.source in (None, ALL_SOURCES) else settings.source
        _print_runs(settings, only, as_json=args.json)
        return
    now = datetime.now(UTC)
    print_status(settings, now, as_json=args.json, max_age=args.max_age, check=args.check)
    if args.verify:
        verify(settings)


def print_status(
    settings: Settings, now: datetime, *, as_json: bool, max_age: timedelta | None, check: bool
) -> None:
    """Print the status; errors are raised after everything has been printed."""
    from dashboard_scraper.across.summary import StatusWithPeople
    from dashboard_scraper.across.summary import as_text as people_text
    from dashboard_scraper.cli.output import print_json, print_text
    from dashboard_scraper.cli.several import for_each_source
    from dashboard_scraper.cli.wiring import settling_of
    from dashboard_scraper.store import notices, store_of
    from dashboard_scraper.store.status import StoreStatus, as_text, raise_if_stale, status_of

    store = store_of(settings)
    status, people, notified = StoreStatus(store.shown, []), None, None
    if store.exists():
        with store.reading() as reader:
            settling, tolerance = settling_of(settings), settings.reconcile_tolerance
            status = status_of(reader, store.shown, settling, now, tolerance)
            people = _people(settings, reader, now)
            notified = notices.status_of(reader.notices())
    if as_json:
        # A file name need not be UTF-8, but JSON must be.
        name = os.fsencode(status.store).decode(errors="replace")
        print_json(StatusWithPeople(name, status.sources, status.runs, people, notified))
    else:
        texts = [as_text(status)]
        if people and people.adds_to_days:
            texts.append(people_text(people))
        if notified:
            texts.append(notices.as_text(notified))
        print_text("\n".join(texts))

    def check_source(settings: Settings) -> None:
        source = info_of(settings.source)
        if check:
            source.check(settings, now)
        if max_age is not None:
            # Days that the source has not published yet do not make the store stale.
            age = max_age + timedelta(days=source.lag_days(settings))
            raise_if_stale(status, settings.source, age, now, costs=settings.wants_costs)

    if check or max_age is not None:
        for_each_source(settings, check_source)


def _print_runs(settings: Settings, only: str | None, *, as_json: bool) -> None:
    """The newest runs of all sources, or of one source, newest first."""
    from dashboard_scraper.cli.output import print_json, print_lines
    from dashboard_scraper.store import store_of
    from dashboard_scraper.store.runs import RunList

    store = store_of(settings)
    runs = RunList([])
    if store.exists():
        with store.reading() as reader:
            runs = RunList(reader.runs(_RUNS, only))
    if as_json:
        print_json(runs)
    else:
        print_lines(runs.lines() or ["no run is recorded yet"])


def _people(settings: Settings, reader: Reader, now: datetime) -> PeopleSummary | None:
    """Everybody in the newest 28 days. None if there are no days, or if the store is damaged: the
    rest of the status is still worth printing.
    """
    from dashboard_scraper.cli.people import everybody_of, newest_window
    from dashboard_scraper.errors import StoreFailed
    from dashboard_scraper.model.dates import utc_day

    sources = reader.sources()
    window = newest_window(reader, sources, utc_day(now) - timedelta(1))
    if window is None:
        return None
    try:
        return everybody_of(settings, reader, sources, window).summary()
    except StoreFailed as error:
        if error.is_away:
            raise
        logger.warning("people are not counted: %s", error)
        return None


def verify(settings: Settings) -> None:
    """Compare all rows of the store with the ledger; StoreFailed, with the days, if they differ."""
    from dashboard_scraper.errors import StoreFailed
    from dashboard_scraper.model.listing import listed_days
    from dashboard_scraper.store import store_of

    store = store_of(settings)
    with store.reading() as reader:
        days = [day for source in reader.sources() for day in reader.damaged_days(source)]
    if days:
        raise StoreFailed(
            f"{store.shown}: the rows of these days do not match the ledger: {listed_days(days)};"
            " restore the store from a backup, or fetch them again with --refresh"
        )
