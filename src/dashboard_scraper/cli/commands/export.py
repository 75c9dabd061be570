"""`export`: export days from the store as files or Parquet, without a network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, filled, moment, whole_number
from dashboard_scraper.cli.options import add_range, add_source, complete_range_of, settings_of
from dashboard_scraper.errors import UsageError

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The days, the format, the destination, and the moment."""
    add_range(parser)
    add_source(parser, several=True)
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
        type=filled,
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
        help="for iceberg: remove states of the tables older than DAYS, and files that only they"
        " need",
    )


def run(args: argparse.Namespace) -> None:
    """Export them; files can only be written to a folder."""
    from dashboard_scraper.cli.exporting import (
        export_files,
        export_focus,
        export_lake,
        export_parquet,
    )
    from dashboard_scraper.cli.output import print_lines
    from dashboard_scraper.cli.people import export_tables
    from dashboard_scraper.cli.several import for_each_source
    from dashboard_scraper.exports.export_folders import LAKE

    window = complete_range_of(args)
    settings = settings_of(args)
    _refuse_contradictions(args)
    # A lake has the rows of all sources in the same tables.
    lake = args.out or f"{settings.export_dir / LAKE}"
    several = len(settings.covered) > 1

    def export(of_source: Settings) -> None:
        if args.format == "iceberg":
            export_lake(of_source, window, lake, args.expire)
            return
        out = f"{args.out.rstrip('/')}/{of_source.source}" if args.out and several else args.out
        if args.format == "parquet":
            export_parquet(of_source, window, out, args.as_of)
        elif args.format == "focus":
            export_focus(of_source, window, out, args.as_of, several=several)
        else:
            export_files(of_source, window, Path(out) if out else None, args.as_of)

    try:
        for_each_source(settings, export)
    finally:
        if args.format == "files" and not args.out and not args.as_of:
            print_lines(export_tables(settings, window, window.end))


def _refuse_contradictions(args: argparse.Namespace) -> None:
    if args.expire is not None and args.format != "iceberg":
        raise UsageError("--expire: only a lake has earlier states; add --format iceberg")
    if args.format == "iceberg" and args.as_of is not None:
        raise UsageError("--as-of: a lake has each day as it is now; use another --format")
    if args.format in ("files", "focus") and args.out and "://" in args.out:
        raise UsageError(
            f"--out: --format {args.format} needs a folder; for a URL, use --format parquet or"
            " iceberg"
        )
