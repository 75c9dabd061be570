"""`backfill`: every day of a range that is not in the store yet."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import last_complete_days, utc_day


def configure(parser: Parser) -> None:
    """A range, of which some need both ends."""
    add_range(parser, end="last day; needed where START is one day before yesterday")
    add_source(parser)


def run(args: argparse.Namespace) -> None:
    """Fetch them; UsageError for a single day whose END could be meant to be yesterday."""
    window = complete_range_of(args)
    yesterday = last_complete_days(1, utc_day(datetime.now(UTC)))
    if args.end is None and len(window) == 1 and window != yesterday:
        # It used to be every day since: as that day alone, history would be missing unnoticed.
        raise UsageError(
            f"backfill needs END too: write `backfill {window} yesterday` for every day since, or"
            f" `backfill {window} {window}` for that day alone"
        )
    from dashboard_scraper.cli.fetching import backfill_days

    backfill_days(settings_of(args), window)
