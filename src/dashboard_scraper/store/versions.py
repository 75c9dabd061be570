"""The versions of a day's rows: the one in force in full, the others as deltas.

    the table itself      the rows of the version in force
    its version table     of every other version, the rows that differ from its `base`: another
                          version, or the one in force; following the bases always ends there

So the store grows with what changed, not with the number of versions. When a version comes into
force, the delta is reversed: the version before it becomes a delta from the new one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, Delete, Executable, Select, Table, bindparam, select

from dashboard_scraper.store import day_people
from dashboard_scraper.store.backend import Load, Row
from dashboard_scraper.store.schema import DAY_VERSION, USER_DAY, VERSION_TABLES
from dashboard_scraper.store.statements import (
    content_of_day,
    content_of_version,
    day_values,
    deletion_of_day,
    deletion_of_version,
    is_of_day,
    version_values,
)

Key: TypeAlias = tuple[Any, ...]
Content: TypeAlias = dict[Key, tuple[Any, ...]]
"""A day's rows in one table: their other columns, by the part of the key after source and day."""
Delta: TypeAlias = dict[Key, tuple[Any, ...] | None]
"""The rows of a version that differ from its base's; None for those that only the base has."""

# If a larger share of a day's rows changes, all are rewritten, which is cheaper than finding each.
_MOST_SINGLE_ROWS = 0.5

_ROWS_AT_ONCE = 1000  # of a driver's rows, which take as much memory as the content

_NONE: Mapping[str, Any] = MappingProxyType({})

_BASES = select(DAY_VERSION.c.version, DAY_VERSION.c.base).where(is_of_day(DAY_VERSION))


def difference(content: Mapping[Key, Any], base: Mapping[Key, Any]) -> Delta:
    """The delta that turns `base` into `content`."""
    if not base:
        return {**content}
    delta: Delta = {key: row for key, row in content.items() if base.get(key) != row}
    delta.update((key, None) for key in base.keys() - content.keys())
    return delta


def applied(delta: Delta, base: Content) -> Content:
    """The base with the delta applied: the inverse of `difference`."""
    rows = {**base, **delta}
    return {key: row for key, row in rows.items() if row is not None}


class DayRows:
    """The rows of one day, in every table and version, within a transaction.

    `load` is the backend's function, and only needed for writing. `names` restricts reading to
    these users. `numbers` may be set to the numbers of all names; otherwise they are read from the
    store.
    """

    def __init__(
        self,
        connection: Connection,
        source: str,
        day: date,
        load: Load | None = None,
        names: Collection[str] | None = None,
    ) -> None:
        self._connection = connection
        self._prefix = (source, day)
        self._values = day_values(source, day)
        self._loading = load
        self._names = names
        self.numbers: Mapping[str, int] = {}

    def execute(self, statement: Executable, values: Mapping[str, Any] = _NONE) -> Any:
        """Execute a statement about this day, such as those in `statements`."""
        return self._connection.execute(statement, {**self._values, **values})

    def current(self, table: Table) -> Content:
        """The rows of the version in force."""
        return self._content(table, content_of_day(table))

    def replace(self, table: Table, old: Content, new: Content) -> None:
        """Change the rows in force from `old` to `new`; if these are users' rows, also the day's
        bitmaps.
        """
        if table is USER_DAY:
            day_people.write(self._connection, *self._prefix, new, self.numbers)
        delta = difference(new, old)
        if len(delta) > _MOST_SINGLE_ROWS * len(old):
            self.execute(deletion_of_day(table))
            delta = {**new}
        elif delta:
            self._delete(table, list(delta))
        rows = (row for row in delta.items() if row[1] is not None)
        self._load(self._connection, table, ((*self._prefix, *k, *v) for k, v in rows if v))

    def _load(self, connection: Connection, table: Table, rows: Iterable[Row]) -> None:
        if self._loading is None:
            raise RuntimeError("these rows were opened for reading")
        self._loading(connection, table, rows)

    def _delete(self, table: Table, keys: list[Key]) -> None:
        names = list(_row_parameters(table))
        self._connection.execute(
            _deletion_of_rows(table),
            [{**self._values, **dict(zip(names, key, strict=True))} for key in keys],
        )

    def delta(self, table: Table, version: int) -> Delta:
        """The stored delta of a version that is not in force."""
        versions = VERSION_TABLES[table]
        found = self._content(versions, content_of_version(versions), version_values(version))
        return {key: None if row[-1] else row[:-1] for key, row in found.items()}

    def put_delta(self, table: Table, version: int, delta: Delta) -> None:
        """Upsert the delta of a version."""
        self.drop_delta(table, version)
        versions = VERSION_TABLES[table]
        width = len(versions.c) - 4 - _key_length(table)
        rows = (
            (*self._prefix, version, *key, *(row or (None,) * width), row is None)
            for key, row in delta.items()
        )
        if delta:
            self._load(self._connection, versions, rows)

    def drop_delta(self, table: Table, version: int) -> None:
        """Delete the delta of a version."""
        self.execute(deletion_of_version(VERSION_TABLES[table]), version_values(version))

    def version(self, table: Table, version: int) -> Content:
        """The rows of any version."""
        bases = self.bases()
        chain = []
        while version in bases:
            chain.append(version)
            version = bases[version]
        content = self.current(table)
        for each in reversed(chain):
            content = applied(self.delta(table, each), content)
        return content

    def bases(self) -> dict[int, int]:
        """The base of each version that is not in force."""
        return {row[0]: row[1] for row in self.execute(_BASES)}

    def rebase(self, table: Table, current: int, old: Content, new: Content) -> None:
        """Rewrite the deltas based on the version in force, before that version changes in place
        from `old` to `new`.
        """
        for version, base in self.bases().items():
            if base == current:
                content = applied(self.delta(table, version), old)
                self.put_delta(table, version, difference(content, new))

    def _content(
        self, table: Table, query: Select[Any], values: Mapping[str, Any] = _NONE
    ) -> dict[Key, Any]:
        if self._names is not None:
            query = query.where(table.c.user_login.in_(self._names))
        keys = _key_length(table)
        parts = self.execute(query, values).partitions(_ROWS_AT_ONCE)
        return {tuple(row[:keys]): tuple(row[keys:]) for rows in parts for row in rows}


def _key_length(table: Table) -> int:
    """The number of key columns after source and day, and after version if there is one."""
    return len(_row_parameters(table))


@cache
def _row_parameters(table: Table) -> dict[str, Column[Any]]:
    """The columns of the key after source, day and version, by the name of a parameter."""
    key = [column for column in table.primary_key.columns if column.name != "version"]
    return {f"key_{column.name}": column for column in key[2:]}


@cache
def _deletion_of_rows(table: Table) -> Delete:
    of_row = (column == bindparam(name) for name, column in _row_parameters(table).items())
    return deletion_of_day(table).where(*of_row)
