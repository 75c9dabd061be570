"""`demo`: the program against a simulated source on this machine."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser, positive
from dashboard_scraper.cli.options import home_of
from dashboard_scraper.sources.registry import ANALYTICS, SOURCES


def configure(parser: Parser) -> None:
    """The source, and the organization that is made up."""
    parser.add_argument(
        "--source",
        choices=SOURCES,
        default=ANALYTICS,
        help="which of two simulated APIs is read (default: the Analytics API)",
    )
    parser.add_argument("--users", type=positive, default=200, help="size of the organization")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other figures")


def run(args: argparse.Namespace) -> None:
    """Run it, with no settings but those of the place."""
    from dashboard_scraper.cli.demo import run_demo

    run_demo(home_of(args), args.log_level, users=args.users, seed=args.seed, source=args.source)
