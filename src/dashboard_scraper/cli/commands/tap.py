"""`tap`: write the store as Singer messages."""

from __future__ import annotations

import argparse

from dashboard_scraper.cli.arguments import Parser, path
from dashboard_scraper.cli.options import add_source, home_of


def configure(parser: Parser) -> None:
    """The options that runners of Singer taps pass."""
    parser.add_argument(
        "--config",
        type=path,
        metavar="FILE",
        help='JSON object of settings, such as {"store_url": "..."}; "home" replaces --home',
    )
    catalog = parser.add_mutually_exclusive_group()
    catalog.add_argument(
        "--discover", action="store_true", help="print the catalogue of all streams and fields"
    )
    catalog.add_argument(
        "--catalog", type=path, metavar="FILE", help="what is selected (default: everything)"
    )
    catalog.add_argument(
        "--properties", type=path, metavar="FILE", help="the older name of --catalog"
    )
    parser.add_argument(
        "--state", type=path, metavar="FILE", help="the newest state that the target has printed"
    )
    add_source(parser, several=True)


def run(args: argparse.Namespace) -> None:
    """Print the catalogue, or send what is selected."""
    from dashboard_scraper.cli.tap import print_catalog, send, settings_in
    from dashboard_scraper.singer.catalog import everything, read

    settings = settings_in(args.config, home_of(args), args.log_level, args.source)
    if args.discover:
        print_catalog()
        return
    file = args.catalog or args.properties
    option = "--catalog" if args.catalog else "--properties"
    send(settings, read(option, file) if file else everything(), args.state)
