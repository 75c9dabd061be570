"""`convert`: convert a CSV with the dashboard's columns to Copilot JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from dashboard_scraper.cli.arguments import Parser, days, one_day, path
from dashboard_scraper.cli.options import settings_of


def configure(parser: Parser) -> None:
    """The CSV, its days, and the JSON file."""
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="the CSV")
    parser.add_argument("--day", type=one_day, metavar="DATE", help="the only day in it")
    for name, what in (("--start", "first"), ("--end", "last")):
        parser.add_argument(name, type=days, metavar="DATE", help=f"the {what} day in it")
    parser.add_argument(
        "--out", type=path, metavar="FILE", help="name of the JSON file (default: FILE.json)"
    )


def run(args: argparse.Namespace) -> None:
    """Convert it; a month means its first day for --start, and its last day for --end."""
    from dashboard_scraper.cli.conversion import convert

    settings = settings_of(args)
    given = (
        args.day and args.day.start,
        args.start and args.start.start,
        args.end and args.end.end,
    )
    convert(settings, args.file, given, args.out)
