"""The command line: parses it, runs one command, and turns its error into an exit code."""

from __future__ import annotations

import argparse
import difflib
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dashboard_scraper import __version__
from dashboard_scraper.date_utils import parse_day, requested_window, utc_day
from dashboard_scraper.errors import ScraperError, UsageError
from dashboard_scraper.logging_config import LOG_LEVELS, configure_logging

logger = logging.getLogger(__name__)

PROGRAM = "dashboard-scraper"
_INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM

_EPILOG = """\
exit codes: 0 complete; 1 unexpected error, or a file could not be written; 2 wrong usage or
setting; 3 sign in again; 4 source unavailable; 5 the source's data broke the contract; 6 finished,
but days are missing
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
        "Run the 28-day job against a simulated dashboard on this machine, with made-up users; no"
        " account and no network is needed. The files are below demo/ in EXPORT_DIR.",
        full_help=full_help,
    )
    parser.add_argument("--users", type=_positive, default=200, help="size of the organization")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other figures")
    parser.set_defaults(run=_run_demo)
    return parser


COMMANDS: dict[str, Callable[..., argparse.ArgumentParser]] = {
    "convert": _convert_parser,
    "demo": _demo_parser,
}


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError("write a number from 1 to 100000")
    return number


def _day_argument(text: str) -> date:
    try:
        return parse_day(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse(argv: Sequence[str]) -> argparse.Namespace:
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
    if len(days) > 2:
        raise UsageError("at most two dates can be given, the first day and the last")
    if days and (args.last_28_days or args.auth):
        raise UsageError("--last-28-days and --auth take no dates")
    if args.out and (args.last_28_days or args.auth):
        raise UsageError("--out names the one CSV; --last-28-days writes a folder, --auth none")
    if args.no_check and not args.auth:
        raise UsageError("--no-check goes with --auth")
    today = utc_day(datetime.now(UTC))
    window = requested_window(days[0], days[-1], today) if days else None

    # Imported here, as in the other commands: what a run needs takes longer than `--help` may.
    from dashboard_scraper import commands  # noqa: PLC0415

    settings = commands.read_settings(_home(args), args.log_level)
    if args.auth:
        commands.sign_in(settings, today, check=not args.no_check)
    elif args.last_28_days:
        commands.fetch_daily(settings, today)
    else:
        commands.fetch_period(settings, today, window, args.out)


def _run_convert(args: argparse.Namespace) -> None:
    from dashboard_scraper import commands  # noqa: PLC0415

    settings = commands.read_settings(_home(args), args.log_level)
    commands.convert(settings, args.file, (args.day, args.start, args.end), args.out)


def _run_demo(args: argparse.Namespace) -> None:
    from dashboard_scraper import commands  # noqa: PLC0415

    commands.demo(_home(args), args.log_level, users=args.users, seed=args.seed)


def _home(args: argparse.Namespace) -> Path:
    home: Path = args.home
    if not home.is_dir():
        raise UsageError(f"--home: {home} is no folder")
    return home.resolve()


def main(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    args = _parse(argv)
    configure_logging(args.log_level or "INFO")
    try:
        args.run(args)
    except ScraperError as error:
        # Without a trace: the message says what to do, and the libraries' messages in a trace hold
        # whole URLs.
        logger.error("%s", error)  # noqa: TRY400
        return error.exit_code
    except KeyboardInterrupt:
        logger.error("interrupted")  # noqa: TRY400
        return _INTERRUPTED
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End as on Ctrl-C: temporary files are removed on the way out.

    Nothing may be logged here: in the middle of another line that would raise, inside the logging
    module, which swallows it, and the signal would be lost.
    """
    sys.exit(_TERMINATED)


def run() -> None:
    """The entry point of `python -m dashboard_scraper` and of the installed command."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main(sys.argv[1:])
    except SystemExit as ending:
        if ending.code == _TERMINATED:
            logger.error("told to end")  # noqa: TRY400
        raise
    sys.exit(code)
