"""`people`: list everybody with their class: who uses what, has a seat, or is missing."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser
from dashboard_scraper.cli.options import (
    add_json,
    add_range,
    add_source,
    complete_range_of,
    settings_of,
)

if TYPE_CHECKING:
    from dashboard_scraper.cli.people import Everybody
    from dashboard_scraper.model.dates import Window
    from dashboard_scraper.settings.config import Settings


def configure(parser: Parser) -> None:
    """The days, the sources and the format."""
    add_range(parser, optional=True)
    add_source(parser, several=True)
    form = parser.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument(
        "--csv",
        action="store_true",
        help="write people_by_class.csv and usage_by_class.csv to EXPORT_DIR, and print their"
        " names",
    )


def run(args: argparse.Namespace) -> None:
    """List them, or write the files."""
    window = complete_range_of(args) if args.start else None
    settings = settings_of(args)
    print_people(
        settings,
        window,
        datetime.now(UTC),
        only=settings.covered if args.source else None,
        as_json=args.json,
        as_csv=args.csv,
    )


def print_people(
    settings: Settings,
    window: Window | None,
    now: datetime,
    *,
    only: tuple[str, ...] | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print who is in which class, by default for every source in the store."""
    from dashboard_scraper.across.summary import as_text
    from dashboard_scraper.cli.output import print_json, print_lines, print_text
    from dashboard_scraper.cli.people import everybody_of, newest_window, write_tables
    from dashboard_scraper.errors import DaysMissing
    from dashboard_scraper.model.dates import utc_day
    from dashboard_scraper.store import store_of

    with store_of(settings).reading() as reader:
        sources = [name for name in reader.sources() if only is None or name in only]
        chosen = window or newest_window(reader, sources, utc_day(now) - timedelta(1))
        if chosen is None or not sources:
            raise DaysMissing(f"{store_of(settings).shown} has no day of these sources yet")
        everybody = everybody_of(settings, reader, sources, chosen)
        if as_csv:
            folder = settings.covered_dir if only else settings.export_dir
            print_lines(write_tables(settings, reader, everybody, folder))
            return
    if as_json:
        print_json(everybody.summary())
        return
    if settings.report_users:
        print_lines(_lines(everybody))
    print_text(as_text(everybody.summary()))


def _lines(everybody: Everybody) -> list[str]:
    """A line for each person and account: class, name, and the sources with the last active day."""
    from dashboard_scraper.store.day_people import bits_in

    classes, across = everybody.classes, everybody.classes.across
    present = {source: across.present(source) for source in across.sources}
    found = []
    for bit in bits_in(classes.overall.everybody):
        places = []
        for source in across.sources:
            presence, seated = present[source].get(bit), classes.of[source].seated or 0
            last = presence.last_active if presence else None
            if classes.of[source].everybody >> bit & 1:
                seat = ", seat" if seated >> bit & 1 else ""
                places.append(f"{source} ({last or 'not active'}{seat})")
        if everybody.audience.service_accounts or not classes.services >> bit & 1:
            title = classes.overall.class_of(bit).title
            where = "; ".join(places) or "in no source"
            found.append((title, across.name(bit), where))
    return [f"{title:<24}{name}  {where}" for title, name, where in sorted(found)]
