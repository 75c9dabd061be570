"""Without a command: fetch a period as CSV, run the daily jobs, or sign in."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, path, read_days
from dashboard_scraper.cli.options import SPELLINGS, add_source, range_of, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window, complete_window, requested_window, utc_day

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


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
        "--auth", action="store_true", help="test and save the session cookie of your browser"
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
    add_source(parser, several=True)
    parser.add_argument("--no-check", action="store_true", help="with --auth: save without testing")
    parser.add_argument(
        "--browser",
        action="store_true",
        help="with --auth: sign in through a browser that it opens",
    )
    parser.add_argument(
        "--headless", action="store_true", help="with --browser: renew the session without a window"
    )
    parser.add_argument(
        "--forget",
        action="store_true",
        help="with --auth: remove the session and the browser's profile",
    )
    parser.add_argument("--out", type=path, metavar="FILE", help="name of the CSV file")


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
        _sign_in(args, settings, today)
    else:
        from dashboard_scraper.cli.fetching import fetch_period
        from dashboard_scraper.cli.notifying import Notified
        from dashboard_scraper.cli.observing import observed
        from dashboard_scraper.cli.several import for_each_source

        if args.out and len(settings.covered) > 1:
            raise UsageError("--out is for one CSV; give --source too, since SOURCES has several")
        with (
            observed(settings, "fetch", stores_days=False) as each,
            Notified(settings, "fetch", stores_days=False) as notified,
        ):
            work = each(notified.each(lambda own: fetch_period(own, now, window, args.out)))
            for_each_source(settings, work)


def _refuse_contradictions(args: argparse.Namespace, asked: Window | None) -> None:
    daily = args.last_28_days or args.daily
    if asked and (args.last_28_days or args.auth):
        raise UsageError("--last-28-days and --auth take no dates")
    if args.daily and not asked:
        raise UsageError("--daily needs dates: the first day and the last")
    if args.out and (daily or args.auth):
        raise UsageError("--out is for one CSV; --last-28-days and --daily write a folder")
    _refuse_contradictions_of_auth(args)
    if (args.refresh or args.offline) and not daily:
        raise UsageError("--refresh and --offline need --last-28-days or --daily")
    if args.refresh and args.offline:
        raise UsageError("--refresh and --offline contradict each other")


def _refuse_contradictions_of_auth(args: argparse.Namespace) -> None:
    for name in ("no_check", "browser", "forget"):
        if getattr(args, name) and not args.auth:
            raise UsageError(f"--{name.replace('_', '-')} needs --auth")
    if args.headless and not args.browser:
        raise UsageError("--headless needs --auth --browser")
    if args.no_check and args.browser:
        raise UsageError("--no-check is for a pasted cookie; a browser's is always tried")
    if args.forget and (args.no_check or args.browser):
        raise UsageError("--forget takes no other option of --auth")


def _sign_in(args: argparse.Namespace, settings: Settings, today: date) -> None:
    from dashboard_scraper.cli.sign_in import forget_sign_in, sign_in, sign_in_in_browser

    if args.forget:
        forget_sign_in(settings)
    elif args.browser:
        sign_in_in_browser(settings, today, headless=args.headless)
    else:
        sign_in(settings, today, check=not args.no_check)


def _run_daily(args: argparse.Namespace, asked: Window | None) -> None:
    today = utc_day(datetime.now(UTC))
    window = complete_window(asked.start, asked.end, today) if asked else None
    from dashboard_scraper.cli.daily import export_daily, run_daily

    if args.offline:
        export_daily(settings_of(args), window)
    else:
        run_daily(settings_of(args), window, refresh=args.refresh)
