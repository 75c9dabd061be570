"""The store as of an earlier moment: a copy of the versions that were in force then.

The copy is a complete SQLite store, so that every query works on it too. It is a temporary database
of SQLite: first in memory, on disk when it grows, and never visible to another program.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, select

from dashboard_scraper.people.people import People
from dashboard_scraper.store import day_people, persons
from dashboard_scraper.store.cost_days import copy_costs
from dashboard_scraper.store.empty_days import usage_sums
from dashboard_scraper.store.migration import create
from dashboard_scraper.store.rows import sum_columns, user_usage
from dashboard_scraper.store.schema import (
    CREDIT_DAY,
    DAY_FETCH,
    DAY_LEDGER,
    DAY_MARK,
    DAY_VERSION,
    EDITOR_LANGUAGE_DAY,
    FORGETS,
    INFO,
    RECORD_DAY,
    SEAT,
    USER_DAY,
)
from dashboard_scraper.store.sqlite import load
from dashboard_scraper.store.sqlite_engine import connect
from dashboard_scraper.store.statements import (
    insertion,
    is_of_day,
    is_of_version,
    version_values,
)
from dashboard_scraper.store.versions import Content, DayRows

_MARKS = select(DAY_MARK.c.marked_at, DAY_MARK.c.held, DAY_MARK.c.suspicious).where(
    is_of_day(DAY_MARK)
)
_FETCHES = select(DAY_FETCH.c.fetched_at).where(is_of_version(DAY_FETCH))
_DETAILS = {EDITOR_LANGUAGE_DAY: "editor_language", CREDIT_DAY: "credits"}


@contextlib.contextmanager
def snapshot(store: Connection, moment: datetime) -> Iterator[Connection]:
    """A store with the versions that were in force at the moment, and the marks they had then."""
    # The empty name is SQLite's temporary database; ":memory:" would never spill to the disk.
    with connect(lambda: sqlite3.connect(""), lambda _: None) as copy, copy.begin():
        create(copy)
        for row in _in_force(store, moment):
            _copy_day(store, copy, row, moment)
        copy_costs(store, copy, moment, load)
        _copy_seats(store, copy, moment)
        # This note as of now: files made before somebody was removed must not be reused.
        for note in store.execute(select(INFO).where(INFO.c.name == FORGETS)).mappings().all():
            copy.execute(insertion(INFO), {**note})
        yield copy


def _copy_seats(store: Connection, copy: Connection, moment: datetime) -> None:
    """Copy the seats reported by then; only the newest answer says which are current."""
    for seat in store.execute(select(SEAT)).mappings().all():
        if seat["first_fetched_at"] <= moment:
            seen = min(seat["fetched_at"], moment)
            copy.execute(insertion(SEAT), {**seat, "fetched_at": seen})


def _in_force(store: Connection, moment: datetime) -> list[RowMapping]:
    """For each day, the ledger's row of the last version that had been accepted by then."""
    found: dict[tuple[str, date], RowMapping] = {}
    for table in (DAY_LEDGER, DAY_VERSION):
        # Not in SQL: SQLite stores moments as text, and `12:00:00.5Z` sorts before `12:00:00Z`.
        for row in store.execute(select(table)).mappings():
            key = (row["source"], row["day"])
            if row["accepted_at"] is None or row["accepted_at"] > moment:
                continue
            # A clock that was ahead can make a version end before it begins.
            if table is DAY_VERSION and row["state_since"] <= moment:
                continue
            if key not in found or _order(found[key]) < _order(row):
                found[key] = row
    return list(found.values())


def _order(row: RowMapping) -> tuple[datetime, int]:
    return row["accepted_at"], row["version"]


def _copy_day(store: Connection, copy: Connection, row: RowMapping, moment: datetime) -> None:
    rows = DayRows(store, row["source"], row["day"])
    ledger: dict[str, Any] = {column.name: row[column.name] for column in DAY_LEDGER.c}
    ledger |= _marks(rows, moment)
    ledger["fetched_at"] = _fetched_at(rows, row, moment)
    users = rows.version(USER_DAY, row["version"])
    # When a user with an unknown figure is forgotten, the sums of archived versions are not
    # recomputed, although they may be known without that user.
    if row["forgotten"]:
        left = [user_usage((*k, *v)) for k, v in users.items()]
        ledger |= sum_columns(usage_sums(row["source"], left))
    _copy_rows(copy, USER_DAY, row, users)
    _copy_rows(copy, RECORD_DAY, row, rows.version(RECORD_DAY, row["version"]))
    persons.add(copy, row["source"], (name for (name,) in users), People())
    day_people.write(copy, row["source"], row["day"], users)
    for table, name in _DETAILS.items():
        since = row[f"{name}_at"]
        if since is not None and since <= moment:
            _copy_rows(copy, table, row, rows.version(table, row["version"]))
        else:
            ledger |= {name: None, f"{name}_at": None}
    copy.execute(insertion(DAY_LEDGER), ledger)


def _copy_rows(copy: Connection, table: Table, row: RowMapping, content: Content) -> None:
    load(copy, table, ((row["source"], row["day"], *k, *v) for k, v in content.items()))


def _marks(rows: DayRows, moment: datetime) -> dict[str, str | None]:
    """What the ledger recorded about the day's doubts at that moment."""
    marks = rows.execute(_MARKS).all()
    _, held, suspicious = max(
        (tuple(mark) for mark in marks if mark[0] <= moment),
        key=lambda mark: mark[0],
        default=(None, None, None),
    )
    return {"held": held, "suspicious": suspicious}


def _fetched_at(rows: DayRows, row: RowMapping, moment: datetime) -> datetime:
    """When the source last gave this answer before the moment."""
    fetches = rows.execute(_FETCHES, version_values(row["version"])).scalars()
    newest: datetime = max((each for each in fetches if each <= moment), default=row["fetched_at"])
    return newest
