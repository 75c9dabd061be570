"""`convert`: a CSV of the dashboard's columns becomes Copilot JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from dashboard_scraper.cli.arguments import Parser, days, one_day
from dashboard_scraper.cli.options import settings_of


def configure(parser: Parser) -> None:
    """The CSV, its days, and where the JSON goes."""
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="the CSV")
    parser.add_argument("--day", type=one_day, metavar="DATE", help="the one day that it holds")
    for name, what in (("--start", "first day"), ("--end", "last day")):
        parser.add_argument(name, type=days, metavar="DATE", help=f"{what} that it holds")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="name of the JSON file (default: FILE.json)"
    )


def run(args: argparse.Namespace) -> None:
    """Convert it; of a month, --start is the first day and --end the last."""
    from dashboard_scraper.cli.conversion import convert

    settings = settings_of(args)
    given = (
        args.day and args.day.start,
        args.start and args.start.start,
        args.end and args.end.end,
    )
    convert(settings, args.file, given, args.out)
