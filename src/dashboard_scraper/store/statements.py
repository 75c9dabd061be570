"""Statements about one day, built once for each table.

SQLAlchemy takes longer to build a statement, and to find it among those compiled before, than the
database takes to run it. So statements are built with parameters, and executed with their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from dashboard_scraper.model.dates import Window

# Not named like the columns, since an UPDATE uses those names for the values that it sets.
_SOURCE, _DAY, _VERSION = "of_source", "of_day", "of_version"


def day_values(source: str, day: date) -> Mapping[str, Any]:
    """The values of the parameters in `is_of_day`."""
    return {_SOURCE: source, _DAY: day}


def version_values(number: int) -> Mapping[str, Any]:
    """The value of the additional parameter in `is_of_version`."""
    return {_VERSION: number}


@cache
def is_of_day(table: Table) -> ColumnElement[bool]:
    """The condition for rows of one day."""
    return (table.c.source == bindparam(_SOURCE)) & (table.c.day == bindparam(_DAY))


@cache
def is_of_version(table: Table) -> ColumnElement[bool]:
    """The condition for rows of one version of a day."""
    return is_of_day(table) & (table.c.version == bindparam(_VERSION))


@cache
def rows_of_day(table: Table) -> Select[Any]:
    """Whole rows."""
    return select(table).where(is_of_day(table))


@cache
def content_of_day(table: Table) -> Select[Any]:
    """The columns after source and day."""
    return select(*list(table.c)[2:]).where(is_of_day(table))


@cache
def content_of_version(table: Table) -> Select[Any]:
    """The columns after source, day and version."""
    return select(*list(table.c)[3:]).where(is_of_version(table))


@cache
def update_of_day(table: Table) -> Update:
    """Sets the columns that are named in the values it is executed with."""
    return update(table).where(is_of_day(table))


@cache
def update_of_version(table: Table) -> Update:
    """Sets the columns that are named in the values it is executed with."""
    return update(table).where(is_of_version(table))


@cache
def deletion_of_day(table: Table) -> Delete:
    """Deletes a day's rows."""
    return delete(table).where(is_of_day(table))


@cache
def deletion_of_version(table: Table) -> Delete:
    """Deletes the rows of a version."""
    return delete(table).where(is_of_version(table))


@cache
def insertion(table: Table) -> Insert:
    """Inserts the rows with which it is executed."""
    return insert(table)


def of_source(table: Table, query: Select[Any], *, windowed: bool = False) -> Select[Any]:
    """The query restricted to one source and, if `windowed`, to a window: see `source_values`."""
    query = query.where(table.c.source == bindparam("source"))
    if windowed:
        query = query.where(table.c.day.between(bindparam("start"), bindparam("end")))
    return query


@cache
def rows_by_day(table: Table, *, windowed: bool) -> Select[Any]:
    """Whole rows, oldest first, restricted as in `of_source`."""
    return of_source(table, select(table), windowed=windowed).order_by(table.c.day)


def source_values(source: str, window: Window | None = None) -> dict[str, Any]:
    """The values of the parameters in `of_source`."""
    values: dict[str, Any] = {"source": source}
    if window:
        values |= {"start": window.start, "end": window.end}
    return values
