"""Without a command: fetch a period as CSV, run the daily jobs, or sign in."""

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
        help=f"one day, or the first and last; {SPELLINGS}",
    )
    add_options(parser)


def add_options(parser: Parser) -> None:
    """The options without the dates."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--last-28-days",
        action="store_true",
        help="one CSV and one Copilot JSON for each of the last 28 completed days",
    )
    form.add_argument(
        "--auth", action="store_true", help="try and save the session cookie of your browser"
    )
    form.add_argument(
        "--daily",
        action="store_true",
        help="like --last-28-days, for the given days",
    )
    parser.add_argument(
        "--refresh", action="store_true", help="with these two: also fetch days that are stored"
    )
    parser.add_argument(
        "--offline", action="store_true", help="with these two: export stored days, fetch nothing"
    )
    add_source(parser)
    parser.add_argument("--no-check", action="store_true", help="with --auth: save without trying")
    parser.add_argument("--out", type=Path, metavar="FILE", help="name of the CSV file")


def run(args: argparse.Namespace) -> None:
    """Run what the options ask for: a daily job, signing in, or one CSV."""
    if len(args.dates) > 2:
        raise UsageError("give two dates at most, the first day and the last")
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
        raise UsageError("--daily needs dates: the first day and the last")
    if args.out and (daily or args.auth):
        raise UsageError("--out is for one CSV; --last-28-days and --daily write a folder")
    if args.no_check and not args.auth:
        raise UsageError("--no-check needs --auth")
    if (args.refresh or args.offline) and not daily:
        raise UsageError("--refresh and --offline need --last-28-days or --daily")
    if args.refresh and args.offline:
        raise UsageError("--refresh and --offline contradict each other")


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
