"""Days with new figures that no run has judged yet.

A run judges them when all are fetched. One that is killed before, or whose session ends, leaves
them to the next run of their window, which has no other way to know: settled days are not fetched
again. Until then they are marked as suspicious.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from dashboard_scraper.store.rows import LedgerDay
from dashboard_scraper.store.schema import INFO
from dashboard_scraper.store.statements import insertion

NOT_JUDGED = "the run ended before it could be compared with the other days"

# Each is built once: see `statements`.
_DELETION = delete(INFO).where(INFO.c.name == bindparam("note"))
_NOTES = select(INFO.c.name).where(INFO.c.name.startswith(bindparam("begins")))


def add(connection: Connection, source: str, day: date) -> None:
    """Note that a day waits to be judged."""
    remove(connection, source, [day])
    connection.execute(insertion(INFO), {"name": _note(source, day), "value": ""})


def remove(connection: Connection, source: str, days: Iterable[date]) -> None:
    """Remove the notes of days that were judged."""
    if notes := [{"note": _note(source, day)} for day in days]:
        connection.execute(_DELETION, notes)


def days_of(connection: Connection, source: str) -> list[date]:
    """The days of a source that wait."""
    begins = _note(source, "")
    names = connection.scalars(_NOTES, {"begins": begins})
    return [date.fromisoformat(name.removeprefix(begins)) for name in names]


def unmarked(row: LedgerDay) -> LedgerDay:
    """The day without the mark that it is not judged yet."""
    return msgspec.structs.replace(row, suspicious=None) if row.suspicious == NOT_JUDGED else row


def _note(source: str, day: date | str) -> str:
    return f"unjudged:{source}:{day}"
