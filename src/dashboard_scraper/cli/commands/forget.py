"""`forget`: one person is removed from the store, and found or removed in the files."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import settings_of


def configure(parser: Parser) -> None:
    """The person, and whether files are changed."""
    parser.add_argument("user", metavar="USER", help="the address, as in the CSV's first column")
    parser.add_argument(
        "--files",
        action="store_true",
        help="also write the files below EXPORT_DIR again without the person, or remove them;"
        " otherwise they are listed",
    )


def run(args: argparse.Namespace) -> None:
    """Remove the person."""
    from dashboard_scraper.cli.forgetting import forget

    forget(settings_of(args), args.user, files=args.files)
