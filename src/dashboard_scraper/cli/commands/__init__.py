"""The commands: each is a module, imported only to run it or to print its help.

A module has `configure`, which adds the command's options to a parser, and `run`, which gets the
parsed arguments. At its top it imports only what the options need, since importing the rest takes a
second. Longer code, or code that several commands use, is in the modules of `cli` itself.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboard_scraper.cli.routing import PROGRAM


class Command(NamedTuple):
    """A command's module, and its summary for help and shell completion."""

    module: str
    summary: str


COMMANDS = {
    "backfill": Command(
        "dashboard_scraper.cli.commands.backfill",
        "Fetch the missing days of a range into the store, oldest first. An interrupted run"
        " continues where it stopped.",
    ),
    "completion": Command(
        "dashboard_scraper.cli.commands.completion",
        "Print a shell completion script. For bash, add this to ~/.bashrc:"
        f" source <({PROGRAM} completion bash)",
    ),
    "convert": Command(
        "dashboard_scraper.cli.commands.convert",
        "Convert a CSV saved from the dashboard to Copilot JSON. Its days are read from its name by"
        " default.",
    ),
    "demo": Command(
        "dashboard_scraper.cli.commands.demo",
        "Fetch 84 days from a simulated Analytics API on this machine, with made-up users, and run"
        " the 28-day job, without an account or a network. The files are written to demo/ in"
        " EXPORT_DIR.",
    ),
    "explain": Command(
        "dashboard_scraper.cli.commands.explain",
        "Explain why costs changed from one period to another: the largest cause, and the"
        " difference by person, team, model and day. The other period is the equally long one right"
        " before, by default.",
    ),
    "export": Command(
        "dashboard_scraper.cli.commands.export",
        "Export days from the store, without a network.",
    ),
    "forget": Command(
        "dashboard_scraper.cli.commands.forget",
        "Remove one person from the store.",
    ),
    "history": Command(
        "dashboard_scraper.cli.commands.history",
        "Print the stored versions of a day, and what changed between them by person and metric.",
    ),
    "keep-alive": Command(
        "dashboard_scraper.cli.commands.keep_alive",
        "Use the dashboard's session with one small request, so that it does not end between runs:"
        " for a timer every 20 minutes. Exits with 3 if it is over.",
    ),
    "notify-test": Command(
        "dashboard_scraper.cli.commands.notify_test",
        "Send a test message to each of NOTIFY_URLS, and a ping to HEARTBEAT_URL.",
    ),
    "people": Command(
        "dashboard_scraper.cli.commands.people",
        "List everybody in one class: who uses which assistant, has a seat without using it, has"
        " left, or cannot be matched. Without dates: the newest 28 completed days in the store.",
    ),
    "report": Command(
        "dashboard_scraper.cli.commands.report",
        "Write a page of figures and charts from the store to report.html in EXPORT_DIR, and print"
        " its address. It opens in a browser, without a network. Without dates: the newest 28"
        " completed days in the store.",
    ),
    "revisions": Command(
        "dashboard_scraper.cli.commands.revisions",
        "List days with a held revision (a later answer that changes too much) and suspicious days."
        " accept puts the held version in force, or clears the suspicion; reject discards the held"
        " version for good.",
    ),
    "serve": Command(
        "dashboard_scraper.cli.commands.serve",
        "Serve GitHub's REST endpoints for Copilot usage from the store, for tools made for them,"
        " and the page of `report` at /. The first start creates a token and prints it once; in a"
        " browser it is the password, with any user name.",
    ),
    "status": Command(
        "dashboard_scraper.cli.commands.status",
        "Show which days are stored, missing or in doubt.",
    ),
    "tap": Command(
        "dashboard_scraper.cli.commands.tap",
        "Write the store as Singer messages to stdout, for a target of Meltano's or of anybody"
        " else's: what changed since the state of the last run, without a network.",
    ),
    "tokens": Command(
        "dashboard_scraper.cli.commands.tokens",
        "Add, list or revoke the tokens of serve, each with a name and what it may read. A new"
        " token is printed once, and its hash is stored. A running server notices within seconds.",
    ),
    "watch": Command(
        "dashboard_scraper.cli.commands.watch",
        "Run all the time: the nightly job at SCHEDULE, again if it fails or was missed, and in"
        " between keep the dashboard's session alive. SIGTERM or Ctrl-C ends it.",
    ),
}

FETCH = Command(
    "dashboard_scraper.cli.commands.fetch",
    "Fetch usage figures and write them as CSV. Without dates: the last LOOKBACK_DAYS completed"
    f" days, in UTC. Other commands: {', '.join(COMMANDS)}"
    f" (see {PROGRAM} COMMAND --help).",
)
"""What runs if no command is named."""
