"""`export`: days from the store, as files or as Parquet, without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from dashboard_scraper.cli.arguments import Parser, moment
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of
from dashboard_scraper.errors import UsageError


def configure(parser: Parser) -> None:
    """The days, the format, where to, and as of when."""
    add_range(parser, end="last day (default: START alone)")
    add_source(parser)
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


def run(args: argparse.Namespace) -> None:
    """Write them; only Parquet can go to a URL."""
    from dashboard_scraper.cli.exporting import export_files, export_parquet

    window = complete_range_of(args)
    settings = settings_of(args)
    if args.format == "parquet":
        export_parquet(settings, window, args.out, args.as_of)
    elif args.out and "://" in args.out:
        raise UsageError("--out: only --format parquet writes to a URL; name a folder")
    else:
        folder = Path(args.out) if args.out else None
        export_files(settings, window, folder, args.as_of)
