"""`backfill`: fetch the missing days of a range."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import last_complete_days, utc_day


def configure(parser: Parser) -> None:
    """The range; for a single day, END may be required too."""
    add_range(parser, end="last day; required if START is a single day before yesterday")
    add_source(parser, several=True)


def run(args: argparse.Namespace) -> None:
    """Fetch them; UsageError for a single day without END, unless that is yesterday."""
    window = complete_range_of(args)
    yesterday = last_complete_days(1, utc_day(datetime.now(UTC)))
    if args.end is None and len(window) == 1 and window != yesterday:
        # START without END used to mean every day since then. If it now meant only that day, an old
        # script would silently fetch too little.
        raise UsageError(
            f"backfill needs END too: `backfill {window} yesterday` for every day since, or"
            f" `backfill {window} {window}` for that day alone"
        )
    from dashboard_scraper.cli.fetching import backfill_days
    from dashboard_scraper.cli.notifying import Notified
    from dashboard_scraper.cli.observing import observed
    from dashboard_scraper.cli.several import for_each_source

    settings = settings_of(args)
    with (
        observed(settings, "backfill", window) as each,
        Notified(settings, "backfill", window) as notified,
    ):
        work = each(notified.each(lambda own: backfill_days(own, window)))
        for_each_source(settings, work)
