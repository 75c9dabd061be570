"""Scripts that complete the command line in a shell: static ones, so no Tab waits for a start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

import shtab

from dashboard_scraper.arguments import Parser
from dashboard_scraper.routing import HELP, VERSION

_PATHS = {
    "FILE": shtab.FILE,
    "FILE.csv": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "FOLDER": shtab.DIRECTORY,
}


def write_script(shell: str, form: Parser, commands: Mapping[str, Callable[..., Parser]]) -> None:
    """Write the script to stdout; `form` has the options of the form without a command."""
    shown = form.add_subparsers()
    for name, make in commands.items():
        made = make(full_help=False)
        shown.add_parser(name, parents=[made], add_help=False, help=made.description)
    topics = shown.add_parser(HELP, help="print the help of the program or of a command")
    topics.add_argument("command", nargs="?", choices=list(commands))
    shown.add_parser(VERSION, help="print the version")
    for parser in (form, *shown.choices.values()):
        _complete_paths(parser)
    sys.stdout.write(f"{shtab.complete(form, shell)}\n")


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # noqa: SLF001 - there is no other list of them
        if isinstance(action.metavar, str) and action.metavar in _PATHS:
            action.complete = _PATHS[action.metavar]  # type: ignore[attr-defined]
