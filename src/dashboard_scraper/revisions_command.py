"""`revisions`: list what is held and what is suspicious, accept it, or reject it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime

from dashboard_scraper.config import Settings
from dashboard_scraper.date_utils import Window
from dashboard_scraper.errors import UsageError
from dashboard_scraper.running import audience_of
from dashboard_scraper.store import Reader, Store, store_of

ACCEPT, REJECT = "accept", "reject"


def print_revisions(settings: Settings) -> None:
    """`revisions`: one line for each day."""
    store = store_of(settings)
    with store.reading() as reader:
        lines = list(_lines(reader, settings))
    if not lines:
        lines = ["no revision is held, and no day is suspicious"]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _lines(reader: Reader, settings: Settings) -> Iterator[str]:
    """The newest last, as in a log."""
    repeats = {held.after.day: held.after.repeats for held in reader.held(settings.source)}
    for day, row in reader.ledger(settings.source).items():
        if row.held:
            of = settings.revision_confirmations
            yield f"{day} held, repeated on {repeats.get(day, 0)} of {of} later days: {row.held}"
        if row.suspicious:
            yield f"{day} suspicious: {row.suspicious}"


def decide(settings: Settings, action: str, windows: Sequence[Window], now: datetime) -> None:
    """`revisions accept` and `revisions reject`, for each day that is given.

    Of a month, the days of which something is held. UsageError, before anything is changed, where
    there is nothing to decide.
    """
    store = store_of(settings, audience_of(settings).people)
    if not store.exists():
        raise UsageError(f"there is no store at {store.shown}; fix STORE_URL")
    with store.locked(), store.opened():
        days = _days_to_decide(store, settings.source, action, windows)
        for day in days:
            if action == ACCEPT:
                store.accept(settings.source, day, now)
            else:
                store.reject(settings.source, day, now)
            sys.stdout.write(f"{day} {action}ed\n")
    sys.stdout.flush()


def _days_to_decide(
    store: Store, source: str, action: str, windows: Sequence[Window]
) -> list[date]:
    with store.reading() as reader:
        open_days = {held.after.day for held in reader.held(source)}
        if action == ACCEPT:
            rows = reader.ledger(source).values()
            open_days |= {row.day for row in rows if row.suspicious}
    days: list[date] = []
    for window in windows:
        found = sorted(day for day in open_days if window.start <= day <= window.end)
        if not found:
            raise UsageError(f"nothing is held of {window}; `revisions` lists what is")
        days += [day for day in found if day not in days]
    return days
