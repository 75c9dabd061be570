"""`watch`: run the nightly job on a schedule, in one process that keeps running."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, port
from dashboard_scraper.cli.options import add_source, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.sources.registry import ALL_SOURCES

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The sources, the server, and the health check."""
    add_source(parser, several=True)
    parser.add_argument(
        "--healthy",
        action="store_true",
        help="run nothing: exit with 0 if watch is alive, according to HEARTBEAT_FILE, else with 8",
    )
    parser.add_argument(
        "--serve", action="store_true", help="also run `serve`, with the next three options"
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, help="default: 8377; 0: any free port")
    parser.add_argument("--insecure", action="store_true", help="let other machines in without TLS")


def run(args: argparse.Namespace) -> None:
    """Run until stopped, or check that it runs."""
    words = _words_of_serve(args)
    if words and not args.serve:
        raise UsageError("--host, --port and --insecure need --serve")
    settings = settings_of(args)
    if args.healthy:
        _print_health(settings)
        return
    from dashboard_scraper.cli.serving_beside import serving
    from dashboard_scraper.cli.watching import watch

    if not args.serve:
        watch(settings)
        return
    words += ["--home", str(args.home), "--log-level", settings.log_level]
    if args.source not in (None, ALL_SOURCES):
        words += ["--source", args.source]
    watch(settings, beside=serving(words))


def _words_of_serve(args: argparse.Namespace) -> list[str]:
    words = ["--insecure"] if args.insecure else []
    for option, value in (("--host", args.host), ("--port", args.port)):
        if value is not None:
            words += [option, str(value)]
    return words


def _print_health(settings: Settings) -> None:
    from dashboard_scraper.cli.output import print_text
    from dashboard_scraper.model.dates import iso_utc
    from dashboard_scraper.watch.heartbeat import raise_unless_alive

    beat = raise_unless_alive(settings.heartbeat_file, datetime.now(UTC))
    next_run = f", next run {iso_utc(beat.next_run)}" if beat.next_run else ""
    print_text(f"{beat.state}{next_run}\n")
