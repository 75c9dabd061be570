"""The commands: each is a module, imported only to run it or to print its help.

A module has `configure`, which adds the command's options to a parser, and `run`, which is called
with what was read. At its top it imports only what the options need: the rest takes a second. Work
that is long, or that others do too, is in a module of `cli` beside this package.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboard_scraper.cli.routing import PROGRAM


class Command(NamedTuple):
    """Where a command is, and what it does: the text that its help and completions show."""

    module: str
    summary: str


COMMANDS = {
    "backfill": Command(
        "dashboard_scraper.cli.commands.backfill",
        "Fetch every day of a range that is not in the store yet, oldest first. A run that was"
        " interrupted goes on where it stopped.",
    ),
    "completion": Command(
        "dashboard_scraper.cli.commands.completion",
        "Print a script that completes commands, options and paths in a shell. For bash, in"
        f" ~/.bashrc: source <({PROGRAM} completion bash)",
    ),
    "convert": Command(
        "dashboard_scraper.cli.commands.convert",
        "Convert a CSV that was saved from the dashboard to Copilot JSON. Its days are read from"
        " its name unless given.",
    ),
    "demo": Command(
        "dashboard_scraper.cli.commands.demo",
        "Fetch 84 days from a simulated Analytics API on this machine, with made-up users, and run"
        " the 28-day job; no account and no network is needed. The files are below demo/ in"
        " EXPORT_DIR.",
    ),
    "export": Command(
        "dashboard_scraper.cli.commands.export",
        "Write days from the store, without a network.",
    ),
    "forget": Command(
        "dashboard_scraper.cli.commands.forget",
        "Remove one person from the store.",
    ),
    "history": Command(
        "dashboard_scraper.cli.commands.history",
        "Print the versions of a day that the store has, and what changed from one to the next, by"
        " person and metric.",
    ),
    "report": Command(
        "dashboard_scraper.cli.commands.report",
        "Write a page of figures and charts from the store, report.html in EXPORT_DIR, and print"
        " its address. It opens in a browser, and needs no network. Without dates: the newest 28"
        " days in the store that are over.",
    ),
    "revisions": Command(
        "dashboard_scraper.cli.commands.revisions",
        "List the days of which a later answer is held since it changes too much, and the days that"
        " are suspicious. With accept, the held version is put in force, or the day is no longer"
        " suspicious; with reject, the held version never is.",
    ),
    "serve": Command(
        "dashboard_scraper.cli.commands.serve",
        "Answer GitHub's REST endpoints for Copilot usage from the store, so that tools made for"
        " them show these figures, and show the page of `report` at /. The first start makes a"
        " token and prints it once; a browser takes it as the password, with any name.",
    ),
    "status": Command(
        "dashboard_scraper.cli.commands.status",
        "Tell which days are in the store, which are missing, and which do not add up.",
    ),
}

FETCH = Command(
    "dashboard_scraper.cli.commands.fetch",
    "Fetch usage figures and write them as CSV. Without dates: the last LOOKBACK_DAYS days that"
    f" are over, in UTC. Further commands: {', '.join(COMMANDS)}"
    f" (see {PROGRAM} COMMAND --help).",
)
"""What is done where no command is named."""
