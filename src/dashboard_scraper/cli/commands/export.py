"""`export`: export days from the store as files or Parquet, without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from dashboard_scraper.cli.arguments import Parser, moment, whole_number
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of
from dashboard_scraper.errors import UsageError


def configure(parser: Parser) -> None:
    """The days, the format, the destination, and the moment."""
    add_range(parser, end="last day (default: START alone)")
    add_source(parser)
    parser.add_argument(
        "--format",
        choices=("files", "parquet", "iceberg", "focus"),
        default="files",
        help="files: CSV, Copilot JSON and GitHub's reports, as from --last-28-days; parquet: one"
        " file per day in day=YYYY-MM-DD/; iceberg: tables of a lake; focus: costs in the FinOps"
        " Foundation's format, a CSV and a Parquet file per day",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="destination (default: in EXPORT_DIR); for parquet also a URL like"
        " s3://BUCKET/PREFIX, for iceberg also iceberg://CATALOG/NAMESPACE",
    )
    parser.add_argument(
        "--as-of",
        type=moment,
        metavar="MOMENT",
        help="export what was known then, in UTC: 2026-11-20 (its end) or 2026-11-20T03:10; written"
        " to a separate folder",
    )
    parser.add_argument(
        "--expire",
        type=whole_number,
        metavar="DAYS",
        help="for iceberg: remove older states of the tables, and files that only they need",
    )


def run(args: argparse.Namespace) -> None:
    """Export them; files can only be written to a folder."""
    from dashboard_scraper.cli.exporting import (
        export_files,
        export_focus,
        export_lake,
        export_parquet,
    )

    window = complete_range_of(args)
    settings = settings_of(args)
    if args.expire is not None and args.format != "iceberg":
        raise UsageError("--expire: only a lake has earlier states; add --format iceberg")
    if args.format == "parquet":
        export_parquet(settings, window, args.out, args.as_of)
    elif args.format == "iceberg":
        if args.as_of is not None:
            raise UsageError("--as-of: a lake has each day as it is now; use another --format")
        export_lake(settings, window, args.out, args.expire)
    elif args.out and "://" in args.out:
        raise UsageError(
            f"--out: --format {args.format} needs a folder; for a URL, use --format parquet or"
            " iceberg"
        )
    elif args.format == "focus":
        export_focus(settings, window, args.out, args.as_of)
    else:
        folder = Path(args.out) if args.out else None
        export_files(settings, window, folder, args.as_of)
