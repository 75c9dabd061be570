"""`forget`: remove one person from the store, and find or remove the person in files."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import add_source, settings_of
from dashboard_scraper.sources.registry import SOURCES


def configure(parser: Parser) -> None:
    """The person, and whether to change files too."""
    parser.add_argument(
        "user",
        metavar="USER",
        help="the address, login or id, as in the CSV's first column; if it is also somebody"
        " else's, add --source",
    )
    add_source(parser)
    parser.add_argument(
        "--files",
        action="store_true",
        help="also rewrite the files in EXPORT_DIR without the person, or remove them; by default"
        " they are only listed",
    )


def run(args: argparse.Namespace) -> None:
    """Remove the person."""
    from dashboard_scraper.cli.forgetting import forget

    source = args.source if args.source in SOURCES else None
    forget(settings_of(args), args.user, files=args.files, source=source)
