"""`report`: write a page of figures and charts from the store."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of


def configure(parser: Parser) -> None:
    """The days; by default the newest."""
    add_range(parser, optional=True)
    add_source(parser, several=True)


def run(args: argparse.Namespace) -> None:
    """Write the page for the given days, or the newest."""
    from dashboard_scraper.cli.reporting import write_report

    window = complete_range_of(args) if args.start else None
    write_report(settings_of(args), window, datetime.now(UTC))
