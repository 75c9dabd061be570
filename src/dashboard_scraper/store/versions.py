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
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, select

from dashboard_scraper.store import day_people
from dashboard_scraper.store.backend import Load, Row
from dashboard_scraper.store.schema import DAY_VERSION, USER_DAY, VERSION_TABLES

Key: TypeAlias = tuple[Any, ...]
Content: TypeAlias = dict[Key, tuple[Any, ...]]
"""A day's rows in one table: their other columns, by the part of the key after source and day."""
Delta: TypeAlias = dict[Key, tuple[Any, ...] | None]
"""The rows of a version that differ from its base's; None for those that only the base has."""

# If a larger share of a day's rows changes, all are rewritten: cheaper than to find each.
_MOST_SINGLE_ROWS = 0.5


def difference(content: Mapping[Key, Any], base: Mapping[Key, Any]) -> Delta:
    """The delta that turns `base` into `content`."""
    delta: Delta = {key: row for key, row in content.items() if base.get(key) != row}
    delta.update((key, None) for key in base.keys() - content.keys())
    return delta


def applied(delta: Delta, base: Content) -> Content:
    """The base with the delta applied: the inverse of `difference`."""
    rows = {**base, **delta}
    return {key: row for key, row in rows.items() if row is not None}


class DayRows:
    """The rows of one day, in every table and version, within a transaction.

    `load` is the backend's, and needed for writing only. `names` restricts reading to these users.
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
        self._loading = load
        self._names = names

    def is_of(self, table: Table) -> ColumnElement[bool]:
        """The SQL condition for rows of this day."""
        source, day = self._prefix
        return (table.c.source == source) & (table.c.day == day)

    def current(self, table: Table) -> Content:
        """The rows of the version in force."""
        return self._content(table, list(table.c)[2:], _key_length(table), self.is_of(table))

    def replace(self, table: Table, old: Content, new: Content) -> None:
        """Change the rows in force from `old` to `new`, and with users' rows the day's bitmaps."""
        if table is USER_DAY:
            day_people.write(self._connection, *self._prefix, new)
        delta = difference(new, old)
        if len(delta) > _MOST_SINGLE_ROWS * len(old):
            self._connection.execute(delete(table).where(self.is_of(table)))
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
        columns = list(table.c)[2 : 2 + _key_length(table)]
        of_row = [column == bindparam(f"key_{column.name}") for column in columns]
        names = [f"key_{column.name}" for column in columns]
        self._connection.execute(
            delete(table).where(self.is_of(table), *of_row),
            [dict(zip(names, key, strict=True)) for key in keys],
        )

    def delta(self, table: Table, version: int) -> Delta:
        """The stored delta of a version that is not in force."""
        versions = VERSION_TABLES[table]
        of_version = self.is_of(versions) & (versions.c.version == version)
        found = self._content(versions, list(versions.c)[3:], _key_length(table), of_version)
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
        versions = VERSION_TABLES[table]
        of_version = self.is_of(versions) & (versions.c.version == version)
        self._connection.execute(delete(versions).where(of_version))

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
        columns = (DAY_VERSION.c.version, DAY_VERSION.c.base)
        query = select(*columns).where(self.is_of(DAY_VERSION))
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def rebase(self, table: Table, current: int, old: Content, new: Content) -> None:
        """Rewrite the deltas based on the version in force, before that changes from `old` to `new`
        in place.
        """
        for version, base in self.bases().items():
            if base == current:
                content = applied(self.delta(table, version), old)
                self.put_delta(table, version, difference(content, new))

    def _content(
        self, table: Table, columns: list[Any], keys: int, condition: ColumnElement[bool]
    ) -> dict[Key, Any]:
        if self._names is not None:
            condition &= table.c.user_login.in_(self._names)
        rows = self._connection.execute(select(*columns).where(condition)).all()
        return {tuple(row[:keys]): tuple(row[keys:]) for row in rows}


def _key_length(table: Table) -> int:
    """The number of key columns after source and day."""
    return len(table.primary_key.columns) - 2
