"""What the command line may say: the options of each command, and the call that they become."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard_scraper import __version__
from dashboard_scraper.date_utils import (
    DAYS,
    complete_window,
    last_complete_days,
    parse_day,
    parse_duration,
    requested_window,
    utc_day,
)
from dashboard_scraper.errors import UsageError
from dashboard_scraper.logging_config import LOG_LEVELS
from dashboard_scraper.usage import ANALYTICS, SOURCES

if TYPE_CHECKING:
    from dashboard_scraper.config import Settings

PROGRAM = "dashboard-scraper"

_EPILOG = """\
exit codes: 0 complete; 1 unexpected error, or a file or the store could not be read or written;
2 wrong usage or setting; 3 sign in again; 4 source unavailable; 5 the source's data broke the
contract; 6 finished, but days are missing; 7 another run is at work; 8 the newest day is too old
"""


def _parser(command: str, description: str, *, full_help: bool) -> argparse.ArgumentParser:
    formatter: type[argparse.HelpFormatter] = argparse.HelpFormatter
    if full_help:
        # Imported here: only a person who reads the help waits for it.
        from rich_argparse import RichHelpFormatter  # noqa: PLC0415

        formatter = RichHelpFormatter
    parser = argparse.ArgumentParser(
        f"{PROGRAM} {command}".strip(),
        description=description,
        epilog=_EPILOG,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of .env, secrets/ and data/ (default: the current one)",
    )
    parser.add_argument(
        "--log-level", type=str.upper, choices=LOG_LEVELS, help="overrides the setting LOG_LEVEL"
    )
    return parser


def _fetch_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "",
        "Fetch usage figures and write them as CSV. Without dates: the last LOOKBACK_DAYS days that"
        f" are over, in UTC. Further commands: {', '.join(COMMANDS)}"
        f" (see {PROGRAM} COMMAND --help).",
        full_help=full_help,
    )
    parser.add_argument(
        "dates",
        nargs="*",
        metavar="DATE",
        help="one day, or the first and the last; MM-DD-YYYY or YYYY-MM-DD, in UTC",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--last-28-days",
        action="store_true",
        help="one CSV and one Copilot JSON for each of the last 28 days that are over",
    )
    form.add_argument(
        "--auth", action="store_true", help="save the session cookie of your browser, then end"
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
    _add_source(parser)
    parser.add_argument("--no-check", action="store_true", help="with --auth: save without trying")
    parser.add_argument("--out", type=Path, metavar="FILE", help="name of the CSV file")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(run=_run_fetch)
    return parser


def _convert_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "convert",
        "Convert a CSV that was saved from the dashboard to Copilot JSON. Its days are read from"
        " its name unless given.",
        full_help=full_help,
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="the CSV")
    for name, what in (("--day", "the one day"), ("--start", "first day"), ("--end", "last day")):
        parser.add_argument(name, type=_day_argument, metavar="DATE", help=f"{what} that it holds")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="name of the JSON file (default: FILE.json)"
    )
    parser.set_defaults(run=_run_convert)
    return parser


def _demo_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "demo",
        "Fetch 84 days from a simulated Analytics API on this machine, with made-up users, and run"
        " the 28-day job; no account and no network is needed. The files are below demo/ in"
        " EXPORT_DIR.",
        full_help=full_help,
    )
    parser.add_argument(
        "--source",
        choices=SOURCES,
        default=ANALYTICS,
        help="which of two simulated APIs is read (default: the Analytics API)",
    )
    parser.add_argument("--users", type=_positive, default=200, help="size of the organization")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other figures")
    parser.set_defaults(run=_run_demo)
    return parser


def _backfill_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "backfill",
        "Fetch every day of a range that is not in the store yet, oldest first. A run that was"
        " interrupted goes on where it stopped.",
        full_help=full_help,
    )
    _add_range(parser, end="last day (default: yesterday, in UTC)")
    _add_source(parser)
    parser.set_defaults(run=_run_backfill)
    return parser


def _status_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "status",
        "Tell which days are in the store, which are missing, and which do not add up.",
        full_help=full_help,
    )
    _add_source(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--max-age",
        type=_duration_argument,
        metavar="DURATION",
        help="exit with 8 if the newest day ended longer ago; as 36h, 2d or 90m",
    )
    parser.add_argument(
        "--check", action="store_true", help="try the session too; exit with 3 if it has expired"
    )
    parser.set_defaults(run=_run_status)
    return parser


def _export_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "export",
        "Write days from the store, without a network.",
        full_help=full_help,
    )
    _add_range(parser, end="last day (default: the first)")
    _add_source(parser)
    parser.add_argument(
        "--format",
        choices=("files", "parquet"),
        default="files",
        help="files: CSV, Copilot JSON and GitHub's reports, as --last-28-days has them; parquet:"
        " one file a day below day=YYYY-MM-DD/",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where to (default: below EXPORT_DIR); for parquet also a URL, as s3://BUCKET/PREFIX",
    )
    parser.set_defaults(run=_run_export)
    return parser


def _report_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "report",
        "Write a page of figures and charts from the store, report.html in EXPORT_DIR, and print"
        " its address. It opens in a browser, and needs no network. Without dates: the newest 28"
        " days in the store that are over.",
        full_help=full_help,
    )
    _add_range(parser, end="last day (default: the first)", optional=True)
    _add_source(parser)
    parser.set_defaults(run=_run_report)
    return parser


def _forget_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "forget",
        "Remove one person from the store.",
        full_help=full_help,
    )
    parser.add_argument("user", metavar="USER", help="the address, as in the CSV's first column")
    parser.set_defaults(run=_run_forget)
    return parser


def _serve_parser(*, full_help: bool) -> argparse.ArgumentParser:
    parser = _parser(
        "serve",
        "Answer GitHub's REST endpoints for Copilot usage from the store, so that tools made for"
        " them show these figures, and show the page of `report` at /. The first start makes a"
        " token and prints it once; a browser takes it as the password, with any name.",
        full_help=full_help,
    )
    _add_source(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, for this machine alone)",
    )
    parser.add_argument("--port", type=_port, default=8377, help="(default: 8377; 0: any)")
    parser.set_defaults(run=_run_serve)
    return parser


def _add_range(parser: argparse.ArgumentParser, *, end: str, optional: bool = False) -> None:
    start = parser.add_argument("start", type=_day_argument, metavar="START", help="first day")
    if optional:
        start.nargs, start.required = "?", False
    parser.add_argument("end", type=_day_argument, nargs="?", metavar="END", help=end)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", choices=("auto", *SOURCES), help="overrides the setting METRICS_SOURCE"
    )


COMMANDS: dict[str, Callable[..., argparse.ArgumentParser]] = {
    "backfill": _backfill_parser,
    "convert": _convert_parser,
    "demo": _demo_parser,
    "export": _export_parser,
    "forget": _forget_parser,
    "report": _report_parser,
    "serve": _serve_parser,
    "status": _status_parser,
}


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError("write a number from 1 to 100000")
    return number


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError("write a number from 0 to 65535")
    return int(text)


def _day_argument(text: str) -> date:
    try:
        return parse_day(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _duration_argument(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Route on the first word only: what is no command is a date or an option."""
    full_help = "-h" in argv or "--help" in argv
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](full_help=full_help).parse_args(argv[1:])
    return _fetch_parser(full_help=full_help).parse_args(argv)


def _day_of_word(word: str) -> date:
    """Read a date; a word that resembles a command gets that suggested."""
    try:
        return parse_day(word)
    except UsageError as error:
        if close := difflib.get_close_matches(word.lower(), COMMANDS, n=1):
            raise UsageError(
                f"{error}; for the command, write it first: {PROGRAM} {close[0]}"
            ) from None
        raise


def _run_fetch(args: argparse.Namespace) -> None:
    days = [_day_of_word(word) for word in args.dates]
    daily = args.last_28_days or args.daily
    if len(days) > 2:
        raise UsageError("at most two dates can be given, the first day and the last")
    if days and (args.last_28_days or args.auth):
        raise UsageError("--last-28-days and --auth take no dates")
    if args.daily and not days:
        raise UsageError("--daily takes the first day and the last")
    if args.out and (daily or args.auth):
        raise UsageError("--out names the one CSV; the daily forms write a folder, --auth none")
    if args.no_check and not args.auth:
        raise UsageError("--no-check goes with --auth")
    if (args.refresh or args.offline) and not daily:
        raise UsageError("--refresh and --offline go with --last-28-days and --daily")
    if args.refresh and args.offline:
        raise UsageError("--refresh fetches and --offline does not; leave one out")
    if daily:
        _run_daily(args, days)
        return
    now = datetime.now(UTC)
    today = utc_day(now)
    window = requested_window(days[0], days[-1], today) if days else None

    # Imported here, as in the other commands: what a run needs takes longer than `--help` may.
    from dashboard_scraper import commands  # noqa: PLC0415

    settings = _settings(args)
    if args.auth:
        commands.sign_in(settings, today, check=not args.no_check)
    else:
        commands.fetch_period(settings, now, window, args.out)


def _run_daily(args: argparse.Namespace, days: Sequence[date]) -> None:
    from dashboard_scraper import commands, store_commands  # noqa: PLC0415

    today = utc_day(datetime.now(UTC))
    window = complete_window(days[0], days[-1], today) if days else None
    settings = _settings(args)
    if args.offline:
        store_commands.export_files(settings, window or last_complete_days(DAYS, today), None)
    else:
        commands.fetch_daily(settings, window, refresh=args.refresh)


def _run_backfill(args: argparse.Namespace) -> None:
    from dashboard_scraper import commands  # noqa: PLC0415

    today = utc_day(datetime.now(UTC))
    end = args.end or last_complete_days(1, today).end
    window = complete_window(args.start, end, today)
    commands.backfill_days(_settings(args), window)


def _run_status(args: argparse.Namespace) -> None:
    from dashboard_scraper import store_commands  # noqa: PLC0415

    settings = _settings(args)
    now = datetime.now(UTC)
    store_commands.tell_status(
        settings, now, as_json=args.json, max_age=args.max_age, check=args.check
    )


def _run_export(args: argparse.Namespace) -> None:
    from dashboard_scraper import store_commands  # noqa: PLC0415

    window = complete_window(args.start, args.end or args.start, utc_day(datetime.now(UTC)))
    settings = _settings(args)
    if args.format == "parquet":
        store_commands.export_parquet(settings, window, args.out)
    elif args.out and "://" in args.out:
        raise UsageError("--out: only --format parquet writes to a URL; name a folder")
    else:
        store_commands.export_files(settings, window, Path(args.out) if args.out else None)


def _run_report(args: argparse.Namespace) -> None:
    from dashboard_scraper import store_commands  # noqa: PLC0415

    now = datetime.now(UTC)
    window = None
    if args.start:
        window = complete_window(args.start, args.end or args.start, utc_day(now))
    store_commands.write_report(_settings(args), window, now)


def _run_serve(args: argparse.Namespace) -> None:
    settings = _settings(args)
    try:
        from dashboard_scraper.serve_command import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            f'serve needs the extra serve ({error.name} is missing): pip install "{PROGRAM}[serve]"'
        ) from error
    serve(settings, args.host, args.port)


def _run_forget(args: argparse.Namespace) -> None:
    from dashboard_scraper import store_commands  # noqa: PLC0415

    store_commands.forget(_settings(args), args.user)


def _run_convert(args: argparse.Namespace) -> None:
    from dashboard_scraper import commands  # noqa: PLC0415

    settings = _settings(args)
    commands.convert(settings, args.file, (args.day, args.start, args.end), args.out)


def _run_demo(args: argparse.Namespace) -> None:
    from dashboard_scraper.demo_command import run_demo  # noqa: PLC0415

    run_demo(_home(args), args.log_level, users=args.users, seed=args.seed, source=args.source)


def _settings(args: argparse.Namespace) -> Settings:
    from dashboard_scraper.running import read_settings  # noqa: PLC0415

    source = getattr(args, "source", None)
    overrides = {"metrics_source": source} if source else {}
    return read_settings(_home(args), args.log_level, **overrides)


def _home(args: argparse.Namespace) -> Path:
    home: Path = args.home
    if not home.is_dir():
        raise UsageError(f"--home: {home} is no folder")
    return home.resolve()
