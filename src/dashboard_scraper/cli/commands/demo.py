"""`demo`: run the program against a simulated source on this machine."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser, positive
from dashboard_scraper.cli.options import home_of
from dashboard_scraper.sources.registry import ALL_SOURCES, ANALYTICS, SOURCES


def configure(parser: Parser) -> None:
    """The source and the made-up organization."""
    parser.add_argument(
        "--source",
        choices=(ALL_SOURCES, *SOURCES),
        default=ANALYTICS,
        help="simulated API to read (default: the Analytics API); all: one for every assistant,"
        " with the page that compares them",
    )
    parser.add_argument("--users", type=positive, default=200, help="number of people")
    parser.add_argument("--seed", type=int, default=1, help="another number produces other figures")
    parser.add_argument(
        "--billing",
        choices=("dollars", "credits"),
        default="dollars",
        help="unit in which the simulated contract is billed (default: dollars)",
    )


def run(args: argparse.Namespace) -> None:
    """Run the demo; only the paths are taken from the settings."""
    from dashboard_scraper.cli.demo import run_demo

    organization = {"users": args.users, "seed": args.seed, "billing": args.billing}
    run_demo(home_of(args), args.log_level, source=args.source, **organization)
