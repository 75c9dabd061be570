"""Options that several commands share, and the meaning of their values."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard_scraper import __version__
from dashboard_scraper.cli.arguments import Parser, days, path
from dashboard_scraper.errors import UsageError
from dashboard_scraper.logs import LOG_LEVELS
from dashboard_scraper.model.dates import Window, complete_window, utc_day
from dashboard_scraper.sources.registry import ALL_SOURCES, AUTO_SOURCE, SOURCES

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings

_DATES = "MM-DD-YYYY or YYYY-MM-DD, in UTC; also yesterday"
SPELLINGS = f"{_DATES}, -7d (seven days ago), or a month, YYYY-MM"
"""How a day, or the days of a month, may be written."""
OF_ONE_DAY = f"{_DATES}, or -7d (seven days ago)"
"""How a day may be written if a month is not allowed."""


def add_common(parser: Parser) -> None:
    """The options that every command has."""
    parser.add_argument(
        "--home",
        type=path,
        default=Path(),
        metavar="DIR",
        help="folder of .env, secrets/ and data/ (default: the current one)",
    )
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--log-level", type=str.upper, choices=LOG_LEVELS, help="overrides the setting LOG_LEVEL"
    )
    for name, meant, what in (("--quiet", "ERROR", "only errors"), ("--verbose", "DEBUG", "all")):
        level.add_argument(
            name,
            action="store_const",
            const=meant,
            dest="log_level",
            help=f"log {what}: --log-level {meant}",
        )
    parser.add_argument("--version", action="version", version=__version__)


def home_of(args: argparse.Namespace) -> Path:
    """The folder of --home; UsageError if not a directory, or if the current folder is gone."""
    home: Path = args.home
    if not home.is_dir():
        raise UsageError(f"--home: {home} is not a directory")
    try:
        return home.resolve()
    except FileNotFoundError:
        raise UsageError(
            "the current folder has been removed: change to another one, or write the whole path"
            " of --home"
        ) from None


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings of --home, with the overrides of the command line."""
    # Imported here: reading the settings imports pydantic, which is too slow for `--help`.
    from dashboard_scraper.cli.wiring import read_settings  # noqa: PLC0415

    source = getattr(args, "source", None)
    overrides = {"metrics_source": source} if source else {}
    return read_settings(home_of(args), args.log_level, **overrides)


def add_source(parser: Parser, *, several: bool = False) -> None:
    """--source, for commands that use one source or its days; `several` also allows all."""
    named = (AUTO_SOURCE, *((ALL_SOURCES,) if several else ()), *SOURCES)
    more = "; all: each of SOURCES, or each that has its credentials" if several else ""
    parser.add_argument(
        "--source", choices=named, help=f"overrides the setting METRICS_SOURCE{more}"
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """--json, for commands whose output is otherwise for people."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_range(
    parser: Parser, *, end: str = "last day (default: START alone)", optional: bool = False
) -> None:
    """START and END; `end` is the help of END."""
    start = parser.add_argument(
        "start", type=days, metavar="START", help=f"first day, or a month; {SPELLINGS}"
    )
    if optional:
        start.nargs, start.required = "?", False
    parser.add_argument("end", type=days, nargs="?", metavar="END", help=end)


def range_of(start: Window, end: Window | None = None) -> Window:
    """The same rule for every command: START is that day or month, END extends it."""
    return Window(start.start, (end or start).end)


def complete_range_of(args: argparse.Namespace) -> Window:
    """The days of START and END; UsageError if they are not all completed."""
    asked = range_of(args.start, args.end)
    return complete_window(asked.start, asked.end, utc_day(datetime.now(UTC)))
