"""`completion`: a static script for a shell, so that Tab need not start the program."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.commands import COMMANDS, fetch
from dashboard_scraper.cli.parser import new_parser, parser_of
from dashboard_scraper.cli.routing import HELP, VERSION

_FILES, _FOLDERS = ("FILE", "FILE.csv"), ("DIR", "FOLDER")
"""The placeholders in the help for values that are paths."""


def configure(parser: Parser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that runs it")


def run(args: argparse.Namespace) -> None:
    """Write the script to stdout."""
    import shtab

    from dashboard_scraper.cli.output import print_text

    form = new_parser("", "")
    fetch.add_options(form)
    shown = form.add_subparsers()
    for name, command in COMMANDS.items():
        shown.add_parser(name, parents=[parser_of(name)], add_help=False, help=command.summary)
    topics = shown.add_parser(HELP, help="print the help of the program or of a command")
    topics.add_argument("command", nargs="?", choices=list(COMMANDS))
    shown.add_parser(VERSION, help="print the version")
    for parser in (form, *shown.choices.values()):
        _complete_paths(parser)
    print_text(f"{shtab.complete(form, args.shell)}\n")


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:  # noqa: SLF001 - there is no other list of them
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
