"""`status`: show which days are stored, missing or in doubt."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, duration
from dashboard_scraper.cli.options import add_json, add_source, settings_of
from dashboard_scraper.sources.registry import info_of

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The format, and the checks that exit with an error."""
    add_source(parser)
    add_json(parser)
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="DURATION",
        help="exit with 8 if the newest day ended longer ago: 36h, 2d or 90m, for example",
    )
    parser.add_argument(
        "--check", action="store_true", help="also try the session; exit with 3 if it has expired"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also read every row, and compare it with the ledger; exit with 1 if they differ",
    )


def run(args: argparse.Namespace) -> None:
    """Print the status as of now."""
    settings = settings_of(args)
    now = datetime.now(UTC)
    print_status(settings, now, as_json=args.json, max_age=args.max_age, check=args.check)
    if args.verify:
        verify(settings)


def print_status(
    settings: Settings, now: datetime, *, as_json: bool, max_age: timedelta | None, check: bool
) -> None:
    """Print the status; errors are raised after everything is printed."""
    from dashboard_scraper.cli.output import print_json
    from dashboard_scraper.store import store_of
    from dashboard_scraper.store.settling import Settling
    from dashboard_scraper.store.status import StoreStatus, as_text, raise_if_stale, status_of

    store = store_of(settings)
    status = StoreStatus(store.shown, [])
    if store.exists():
        with store.reading() as reader:
            settling = Settling(settings.settle_days, settings.cost_settle_days)
            tolerance = settings.reconcile_tolerance
            status = status_of(reader, store.shown, settling, now, tolerance)
    if as_json:
        print_json(status)
    else:
        sys.stdout.write(as_text(status))
        sys.stdout.flush()
    if check:
        info_of(settings.source).check(settings, now)
    if max_age is not None:
        costs = settings.fetch_cost != "false"
        raise_if_stale(status, settings.source, max_age, now, costs=costs)


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
