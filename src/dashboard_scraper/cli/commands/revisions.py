"""`revisions`: list, accept or reject held revisions and suspicious days."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, days
from dashboard_scraper.cli.options import SPELLINGS, add_source, settings_of
from dashboard_scraper.cli.routing import PROGRAM
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.store import Reader, Store

_ACCEPT, _REJECT = "accept", "reject"


def configure(parser: Parser) -> None:
    """What to do, and with which days."""
    parser.add_argument("action", nargs="?", choices=(_ACCEPT, _REJECT), help="what to do")
    parser.add_argument("days", nargs="*", type=days, metavar="DAY", help=f"days; {SPELLINGS}")
    add_source(parser)


def run(args: argparse.Namespace) -> None:
    """List them, or decide about the given days."""
    if args.action and not args.days:
        raise UsageError(f"name the days to {args.action}; `{PROGRAM} revisions` lists them")
    if args.action:
        decide(settings_of(args), args.action, args.days, datetime.now(UTC))
    else:
        print_revisions(settings_of(args))


def print_revisions(settings: Settings) -> None:
    """Print one line per held or suspicious day."""
    from dashboard_scraper.cli.output import print_lines
    from dashboard_scraper.store import store_of

    with store_of(settings).with_versions().reading() as reader:
        lines = list(_lines(reader, settings))
    if not lines:
        lines = ["no revision is held, and no day is suspicious"]
    print_lines(lines)


def _lines(reader: Reader, settings: Settings) -> Iterator[str]:
    """The lines, newest last, as in a log."""
    repeats = {held.after.day: held.after.repeats for held in reader.held(settings.source)}
    for day, row in reader.ledger(settings.source).items():
        if row.held:
            of = settings.revision_confirmations
            yield f"{day} held, repeated on {repeats.get(day, 0)} of {of} later days: {row.held}"
        if row.suspicious:
            yield f"{day} suspicious: {row.suspicious}"


def decide(settings: Settings, action: str, windows: Sequence[Window], now: datetime) -> None:
    """Accept or reject the held revision of each given day, and of each such day in a given month.

    Raises UsageError, before anything is changed, if a given day or month has none.
    """
    from dashboard_scraper.cli.output import print_text
    from dashboard_scraper.cli.wiring import audience_of, existing_store

    store = existing_store(settings, audience_of(settings).people)
    with store.locked(), store.opened():
        for day in _days_to_decide(store, settings.source, action, windows):
            if action == _ACCEPT:
                store.accept(settings.source, day, now)
            else:
                store.reject(settings.source, day, now)
            print_text(f"{day} {action}ed\n", flush=False)
    print_text("")


def _days_to_decide(
    store: Store, source: str, action: str, windows: Sequence[Window]
) -> list[date]:
    with store.reading() as reader:
        open_days = {held.after.day for held in reader.held(source)}
        if action == _ACCEPT:
            rows = reader.ledger(source).values()
            open_days |= {row.day for row in rows if row.suspicious}
    decided: list[date] = []
    for window in windows:
        found = sorted(day for day in open_days if window.start <= day <= window.end)
        if not found:
            raise UsageError(f"nothing is held for {window}; `revisions` lists what is")
        decided += [day for day in found if day not in decided]
    return decided
