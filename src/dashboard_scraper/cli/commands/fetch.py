"""The form without a command: days fetched and written as CSV, the daily forms, and signing in."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from dashboard_scraper.cli.arguments import Parser, read_days
from dashboard_scraper.cli.options import SPELLINGS, add_source, range_of, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import (
    DAYS,
    Window,
    complete_window,
    last_complete_days,
    requested_window,
    utc_day,
)


def configure(parser: Parser) -> None:
    """The dates and the options."""
    parser.add_argument(
        "dates",
        nargs="*",
        metavar="DATE",
        help=f"one day, or the first and the last; {SPELLINGS}",
    )
    add_options(parser)


def add_options(parser: Parser) -> None:
    """The options without the dates."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--last-28-days",
        action="store_true",
        help="one CSV and one Copilot JSON for each of the last 28 days that are over",
    )
    form.add_argument(
        "--auth", action="store_true", help="try and save the session cookie of your browser"
    )
    form.add_argument(
        "--daily",
        action="store_true",
        help="as --last-28-days, for the days that are given",
    )
    parser.add_argument(
        "--refresh", action="store_true", help="with these two: fetch also days that are kept"
    )
    parser.add_argument(
        "--offline", action="store_true", help="with these two: write what is kept, fetch nothing"
    )
    add_source(parser)
    parser.add_argument("--no-check", action="store_true", help="with --auth: save without trying")
    parser.add_argument("--out", type=Path, metavar="FILE", help="name of the CSV file")


def run(args: argparse.Namespace) -> None:
    """Do what the options name: the daily job, signing in, or one CSV."""
    if len(args.dates) > 2:
        raise UsageError("at most two dates can be given, the first day and the last")
    asked = range_of(*map(read_days, args.dates)) if args.dates else None
    _refuse_contradictions(args, asked)
    if args.last_28_days or args.daily:
        _run_daily(args, asked)
        return
    now = datetime.now(UTC)
    today = utc_day(now)
    window = requested_window(asked.start, asked.end, today) if asked else None
    settings = settings_of(args)
    if args.auth:
        from dashboard_scraper.cli.sign_in import sign_in

        sign_in(settings, today, check=not args.no_check)
    else:
        from dashboard_scraper.cli.fetching import fetch_period

        fetch_period(settings, now, window, args.out)


def _refuse_contradictions(args: argparse.Namespace, asked: Window | None) -> None:
    daily = args.last_28_days or args.daily
    if asked and (args.last_28_days or args.auth):
        raise UsageError("--last-28-days and --auth take no dates")
    if args.daily and not asked:
        raise UsageError("--daily takes the first day and the last")
    if args.out and (daily or args.auth):
        raise UsageError("--out names the one CSV; the daily forms write a folder, --auth none")
    if args.no_check and not args.auth:
        raise UsageError("--no-check goes with --auth")
    if (args.refresh or args.offline) and not daily:
        raise UsageError("--refresh and --offline go with --last-28-days and --daily")
    if args.refresh and args.offline:
        raise UsageError("--refresh fetches and --offline does not; leave one out")


def _run_daily(args: argparse.Namespace, asked: Window | None) -> None:
    today = utc_day(datetime.now(UTC))
    window = complete_window(asked.start, asked.end, today) if asked else None
    settings = settings_of(args)
    if args.offline:
        from dashboard_scraper.cli.exporting import export_files

        export_files(settings, window or last_complete_days(DAYS, today), None)
    else:
        from dashboard_scraper.cli.fetching import fetch_daily

        fetch_daily(settings, window, refresh=args.refresh)
