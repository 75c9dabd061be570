"""`serve`: serve GitHub's endpoints and the report from the store."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser, port
from dashboard_scraper.cli.options import add_source, settings_of
from dashboard_scraper.errors import UsageError


def configure(parser: Parser) -> None:
    """The source, and where to listen."""
    add_source(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, only for this machine)",
    )
    parser.add_argument("--port", type=port, default=8377, help="default: 8377; 0: any free port")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="let other machines in without TLS, for use behind a proxy with TLS",
    )


def run(args: argparse.Namespace) -> None:
    """Serve until stopped; UsageError if the extra is not installed."""
    settings = settings_of(args)
    try:
        from dashboard_scraper.cli.serving import serve
    except ModuleNotFoundError as error:
        from dashboard_scraper.installation import how_to_install

        raise UsageError(
            f"serve needs the extra serve ({error.name} is missing): {how_to_install('serve')}"
        ) from error
    serve(settings, args.host, args.port, insecure=args.insecure)
