"""What the command line may say: the options of each command, and the call that they become."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard_scraper import __version__
from dashboard_scraper.arguments import (
    Parser,
    days,
    duration,
    moment,
    one_day,
    port,
    positive,
    read_days,
)
from dashboard_scraper.date_utils import (
    DAYS,
    Window,
    complete_window,
    last_complete_days,
    requested_window,
    utc_day,
)
from dashboard_scraper.errors import UsageError
from dashboard_scraper.logging_config import LOG_LEVELS
from dashboard_scraper.routing import HELP, PROGRAM, VERSION, route
from dashboard_scraper.usage import ANALYTICS, SOURCES

if TYPE_CHECKING:
    from dashboard_scraper.config import Settings

_EPILOG = """\
exit codes: 0 complete; 1 unexpected error, or a file or the store could not be read or written;
2 wrong usage or setting; 3 sign in again; 4 source unavailable; 5 the source's data broke the
contract; 6 finished, but days are missing; 7 another run is at work; 8 the newest day is too old
"""

_SPELLINGS = (
    "MM-DD-YYYY or YYYY-MM-DD, in UTC; also yesterday, -7d (seven days ago), or a month, YYYY-MM"
)


def _parser(command: str, description: str, *, full_help: bool) -> Parser:
    formatter: type[argparse.HelpFormatter] = argparse.HelpFormatter
    if full_help:
        # Imported here: only a person who reads the help waits for it.
        from rich_argparse import RichHelpFormatter  # noqa: PLC0415

        formatter = RichHelpFormatter
    parser = Parser(
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
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--log-level", type=str.upper, choices=LOG_LEVELS, help="overrides the setting LOG_LEVEL"
    )
    for name, meant, what in (("--quiet", "ERROR", "errors alone"), ("--verbose", "DEBUG", "all")):
        level.add_argument(
            name,
            action="store_const",
            const=meant,
            dest="log_level",
            help=f"log {what}: --log-level {meant}",
        )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _fetch_parser(*, full_help: bool) -> Parser:
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
        help=f"one day, or the first and the last; {_SPELLINGS}",
    )
    _add_fetch_options(parser)
    parser.set_defaults(run=_run_fetch)
    return parser


def _add_fetch_options(parser: Parser) -> None:
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
    _add_source(parser)
    parser.add_argument("--no-check", action="store_true", help="with --auth: save without trying")
    parser.add_argument("--out", type=Path, metavar="FILE", help="name of the CSV file")


def _convert_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "convert",
        "Convert a CSV that was saved from the dashboard to Copilot JSON. Its days are read from"
        " its name unless given.",
        full_help=full_help,
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="the CSV")
    parser.add_argument("--day", type=one_day, metavar="DATE", help="the one day that it holds")
    for name, what in (("--start", "first day"), ("--end", "last day")):
        parser.add_argument(name, type=days, metavar="DATE", help=f"{what} that it holds")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="name of the JSON file (default: FILE.json)"
    )
    parser.set_defaults(run=_run_convert)
    return parser


def _demo_parser(*, full_help: bool) -> Parser:
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
    parser.add_argument("--users", type=positive, default=200, help="size of the organization")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other figures")
    parser.set_defaults(run=_run_demo)
    return parser


def _backfill_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "backfill",
        "Fetch every day of a range that is not in the store yet, oldest first. A run that was"
        " interrupted goes on where it stopped.",
        full_help=full_help,
    )
    _add_range(parser, end="last day; needed where START is one day before yesterday")
    _add_source(parser)
    parser.set_defaults(run=_run_backfill)
    return parser


def _status_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "status",
        "Tell which days are in the store, which are missing, and which do not add up.",
        full_help=full_help,
    )
    _add_source(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="DURATION",
        help="exit with 8 if the newest day ended longer ago; as 36h, 2d or 90m",
    )
    parser.add_argument(
        "--check", action="store_true", help="try the session too; exit with 3 if it has expired"
    )
    parser.set_defaults(run=_run_status)
    return parser


def _export_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "export",
        "Write days from the store, without a network.",
        full_help=full_help,
    )
    _add_range(parser, end="last day (default: START alone)")
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
    parser.add_argument(
        "--as-of",
        type=moment,
        metavar="MOMENT",
        help="what was known then, in UTC: 2026-11-20 (its end) or 2026-11-20T03:10; in a folder of"
        " its own",
    )
    parser.set_defaults(run=_run_export)
    return parser


def _history_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "history",
        "Print the versions of a day that the store has, and what changed from one to the next, by"
        " person and metric.",
        full_help=full_help,
    )
    parser.add_argument("day", type=one_day, metavar="DAY", help=f"the day; {_SPELLINGS}")
    _add_source(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run_history)
    return parser


def _revisions_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "revisions",
        "List the days of which a later answer is held since it changes too much, and the days that"
        " are suspicious. With accept, the held version is put in force, or the day is no longer"
        " suspicious; with reject, the held version never is.",
        full_help=full_help,
    )
    parser.add_argument("action", nargs="?", choices=("accept", "reject"), help="what to do")
    parser.add_argument("days", nargs="*", type=days, metavar="DAY", help=f"days; {_SPELLINGS}")
    _add_source(parser)
    parser.set_defaults(run=_run_revisions)
    return parser


def _report_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "report",
        "Write a page of figures and charts from the store, report.html in EXPORT_DIR, and print"
        " its address. It opens in a browser, and needs no network. Without dates: the newest 28"
        " days in the store that are over.",
        full_help=full_help,
    )
    _add_range(parser, end="last day (default: START alone)", optional=True)
    _add_source(parser)
    parser.set_defaults(run=_run_report)
    return parser


def _forget_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "forget",
        "Remove one person from the store.",
        full_help=full_help,
    )
    parser.add_argument("user", metavar="USER", help="the address, as in the CSV's first column")
    parser.add_argument(
        "--files",
        action="store_true",
        help="also write the files below EXPORT_DIR again without the person, or remove them;"
        " otherwise they are listed",
    )
    parser.set_defaults(run=_run_forget)
    return parser


def _serve_parser(*, full_help: bool) -> Parser:
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
    parser.add_argument("--port", type=port, default=8377, help="(default: 8377; 0: any)")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="let other machines in without TLS; for use behind a proxy that has it",
    )
    parser.set_defaults(run=_run_serve)
    return parser


def _completion_parser(*, full_help: bool) -> Parser:
    parser = _parser(
        "completion",
        "Print a script that completes commands, options and paths in a shell. For bash, in"
        f" ~/.bashrc: source <({PROGRAM} completion bash)",
        full_help=full_help,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that runs it")
    parser.set_defaults(run=_run_completion)
    return parser


def _add_range(parser: Parser, *, end: str, optional: bool = False) -> None:
    start = parser.add_argument(
        "start", type=days, metavar="START", help=f"first day, or a month; {_SPELLINGS}"
    )
    if optional:
        start.nargs, start.required = "?", False
    parser.add_argument("end", type=days, nargs="?", metavar="END", help=end)


def _add_source(parser: Parser) -> None:
    parser.add_argument(
        "--source", choices=("auto", *SOURCES), help="overrides the setting METRICS_SOURCE"
    )


COMMANDS: dict[str, Callable[..., Parser]] = {
    "backfill": _backfill_parser,
    "completion": _completion_parser,
    "convert": _convert_parser,
    "demo": _demo_parser,
    "export": _export_parser,
    "forget": _forget_parser,
    "history": _history_parser,
    "report": _report_parser,
    "revisions": _revisions_parser,
    "serve": _serve_parser,
    "status": _status_parser,
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Route, then read the options; UsageError for what cannot be understood."""
    command, words = route(argv, COMMANDS)
    if command == VERSION:
        words = ["--version"]
    elif command == HELP:
        command, words = route(words, COMMANDS)
        words = ["--help"]
    full_help = "-h" in words or "--help" in words
    make = COMMANDS.get(command, _fetch_parser)
    return make(full_help=full_help).read(words)


def _run_fetch(args: argparse.Namespace) -> None:
    daily = args.last_28_days or args.daily
    if len(args.dates) > 2:
        raise UsageError("at most two dates can be given, the first day and the last")
    asked = _asked(*map(read_days, args.dates)) if args.dates else None
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
    if daily:
        _run_daily(args, asked)
        return
    now = datetime.now(UTC)
    today = utc_day(now)
    window = requested_window(asked.start, asked.end, today) if asked else None

    # Imported here, as in the other commands: what a run needs takes longer than `--help` may.
    from dashboard_scraper import commands  # noqa: PLC0415

    settings = _settings(args)
    if args.auth:
        commands.sign_in(settings, today, check=not args.no_check)
    else:
        commands.fetch_period(settings, now, window, args.out)


def _asked(start: Window, end: Window | None = None) -> Window:
    """One rule for every command: START alone is that day or month, with END it is the first."""
    return Window(start.start, (end or start).end)


def _complete(args: argparse.Namespace) -> Window:
    """The days of START and END; UsageError where one of them is not over."""
    asked = _asked(args.start, args.end)
    return complete_window(asked.start, asked.end, utc_day(datetime.now(UTC)))


def _run_daily(args: argparse.Namespace, asked: Window | None) -> None:
    from dashboard_scraper import commands, store_commands  # noqa: PLC0415

    today = utc_day(datetime.now(UTC))
    window = complete_window(asked.start, asked.end, today) if asked else None
    settings = _settings(args)
    if args.offline:
        store_commands.export_files(settings, window or last_complete_days(DAYS, today), None)
    else:
        commands.fetch_daily(settings, window, refresh=args.refresh)


def _run_backfill(args: argparse.Namespace) -> None:
    from dashboard_scraper import commands  # noqa: PLC0415

    window = _complete(args)
    yesterday = last_complete_days(1, utc_day(datetime.now(UTC)))
    if args.end is None and len(window) == 1 and window != yesterday:
        # It used to be every day since: as that day alone, history would be missing unnoticed.
        raise UsageError(
            f"backfill needs END too: write `backfill {window} yesterday` for every day since, or"
            f" `backfill {window} {window}` for that day alone"
        )
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

    window = _complete(args)
    settings = _settings(args)
    if args.format == "parquet":
        store_commands.export_parquet(settings, window, args.out, args.as_of)
    elif args.out and "://" in args.out:
        raise UsageError("--out: only --format parquet writes to a URL; name a folder")
    else:
        folder = Path(args.out) if args.out else None
        store_commands.export_files(settings, window, folder, args.as_of)


def _run_history(args: argparse.Namespace) -> None:
    from dashboard_scraper.history_command import print_history  # noqa: PLC0415

    print_history(_settings(args), args.day.start, as_json=args.json)


def _run_revisions(args: argparse.Namespace) -> None:
    from dashboard_scraper.revisions_command import decide, print_revisions  # noqa: PLC0415

    if args.action and not args.days:
        raise UsageError(f"name the days to {args.action}; `{PROGRAM} revisions` lists them")
    if args.action:
        decide(_settings(args), args.action, args.days, datetime.now(UTC))
    else:
        print_revisions(_settings(args))


def _run_report(args: argparse.Namespace) -> None:
    from dashboard_scraper import store_commands  # noqa: PLC0415

    window = _complete(args) if args.start else None
    store_commands.write_report(_settings(args), window, datetime.now(UTC))


def _run_serve(args: argparse.Namespace) -> None:
    settings = _settings(args)
    try:
        from dashboard_scraper.serve_command import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        from dashboard_scraper.installation import how_to_install  # noqa: PLC0415

        raise UsageError(
            f"serve needs the extra serve ({error.name} is missing): {how_to_install('serve')}"
        ) from error
    serve(settings, args.host, args.port, insecure=args.insecure)


def _run_completion(args: argparse.Namespace) -> None:
    from dashboard_scraper.completion import write_script  # noqa: PLC0415

    form = _parser("", "", full_help=False)
    _add_fetch_options(form)
    write_script(args.shell, form, COMMANDS)


def _run_forget(args: argparse.Namespace) -> None:
    from dashboard_scraper import forget_command  # noqa: PLC0415

    forget_command.forget(_settings(args), args.user, files=args.files)


def _run_convert(args: argparse.Namespace) -> None:
    from dashboard_scraper import commands  # noqa: PLC0415

    settings = _settings(args)
    given = (
        args.day and args.day.start,
        args.start and args.start.start,
        args.end and args.end.end,
    )
    commands.convert(settings, args.file, given, args.out)


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
