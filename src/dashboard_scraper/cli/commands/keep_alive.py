"""`keep-alive`: touch the session, so that it does not expire between runs."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import add_source, settings_of


def configure(parser: Parser) -> None:
    """The source."""
    add_source(parser, several=True)


def run(args: argparse.Namespace) -> None:
    """Touch every session; SignInRequired if it has ended."""
    from dashboard_scraper.cli.keeping_alive import keep_all_alive
    from dashboard_scraper.sources.registry import SOURCES

    keep_all_alive(settings_of(args), datetime.now(UTC), named=args.source in SOURCES)
