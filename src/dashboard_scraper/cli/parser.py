"""Parses a command line into the arguments of its command."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.commands import COMMANDS, FETCH
from dashboard_scraper.cli.options import add_common
from dashboard_scraper.cli.routing import HELP, PROGRAM, VERSION, route

_EPILOG = """\
exit codes: 0 complete; 1 unexpected error, or a file or the store could not be read or written;
2 wrong usage or setting; 3 sign in again; 4 source unavailable; 5 the source's data broke its
contract; 6 finished, but days are missing; 7 another run is active; 8 the newest day is too old,
or watch is not alive; 9 complete, but the users or costs of some days do not add up;
10 revisions of earlier days are held; 11 all days are empty or equal, or unlike the stored ones;
12 several sources failed, with different codes
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Find the command, then read its options; raises UsageError."""
    valued = parser_of("").valued
    command, words = route(argv, COMMANDS, valued)
    if command == VERSION:
        words = ["--version"]
    elif command == HELP:
        command, words = route(words, COMMANDS, valued)
        words = ["--help"]
    full_help = "-h" in words or "--help" in words
    return parser_of(command if command in COMMANDS else "", full_help=full_help).read(words)


def parser_of(command: str, *, full_help: bool = False) -> Parser:
    """The parser of a command, or, without one, of the usage; imports the command's module."""
    name, summary = COMMANDS[command] if command else FETCH
    module = importlib.import_module(name)
    parser = new_parser(command, summary, full_help=full_help)
    module.configure(parser)
    parser.set_defaults(run=module.run)
    return parser


def new_parser(command: str, description: str, *, full_help: bool = False) -> Parser:
    """A parser with the options that every command has; `full_help` formats the help in colour."""
    formatter: type[argparse.HelpFormatter] = argparse.HelpFormatter
    if full_help:
        # Imported here because it is slow, and needed only to print the help.
        from rich_argparse import RichHelpFormatter  # noqa: PLC0415

        formatter = RichHelpFormatter
    parser = Parser(
        f"{PROGRAM} {command}".strip(),
        description=description,
        epilog=_EPILOG,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    add_common(parser)
    return parser
