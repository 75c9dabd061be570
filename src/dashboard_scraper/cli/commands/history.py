"""`history`: print the versions of a day, and what changed between them."""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, one_day
from dashboard_scraper.cli.options import OF_ONE_DAY, add_json, add_source, settings_of

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The day and the format."""
    parser.add_argument("day", type=one_day, metavar="DAY", help=f"the day; {OF_ONE_DAY}")
    add_source(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print the day's history."""
    print_history(settings_of(args), args.day.start, as_json=args.json)


def print_history(settings: Settings, day: date, *, as_json: bool) -> None:
    """Print every version; UsageError if the day is not in the store, or if the store is a lake."""
    from dashboard_scraper.cli.day_history import as_lines, history_of
    from dashboard_scraper.cli.output import print_json, print_lines
    from dashboard_scraper.cli.wiring import audience_of
    from dashboard_scraper.store import store_of

    with store_of(settings).with_versions().reading() as reader:
        history = history_of(reader, settings.source, day, audience_of(settings))
    if as_json:
        print_json(history)
    else:
        print_lines(as_lines(history))
