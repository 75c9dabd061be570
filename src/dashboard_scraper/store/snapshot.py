"""The base of all queries on a snapshot of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Table, bindparam

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.dates import Window
from dashboard_scraper.store.rows import LedgerDay
from dashboard_scraper.store.schema import USER_DAY
from dashboard_scraper.store.statements import rows_by_day, source_values

Explained = Callable[[], AbstractContextManager[None]]
"""A context in which errors of the driver become StoreFailed."""

_ROWS_AT_ONCE = 1000
_NONE: Mapping[str, Any] = MappingProxyType({})

# Queries of a single day, and conditions and sums of many columns, are built only once: SQLAlchemy
# takes longer to build them than the database takes to run them.
IS_OF_DAY = (USER_DAY.c.source == bindparam("source"), USER_DAY.c.day == bindparam("day"))


class Snapshot:
    """A connection with a snapshot's transaction, and the store's place for messages.

    It has the versions in force at `moment`; None: those in force now.
    """

    def __init__(
        self,
        connection: Connection,
        place: str,
        explained: Explained,
        moment: datetime | None = None,
    ) -> None:
        self._connection = connection
        self._place = place
        self._explained = explained
        self.moment = moment

    @property
    def connection(self) -> Connection:
        """The connection with the snapshot's transaction."""
        return self._connection

    def _all(self, query: Any, values: Mapping[str, Any] = _NONE) -> Sequence[Any]:
        """All rows."""
        with self._explained():
            return self._connection.execute(query, values).all()

    def _each(self, query: Any, values: Mapping[str, Any]) -> Iterator[Any]:
        """The rows one by one, for large results: SQLAlchemy's rows take as much memory as the
        sums.
        """
        with self._explained():
            for rows in self._connection.execute(query, values).partitions(_ROWS_AT_ONCE):
                yield from rows

    def _as_stored(self, query: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows as the driver returns them. Making SQLAlchemy's rows, with values of the
        columns' types, takes longer than the query if there are many.
        """
        with self._explained(), self._connection.execute(query, values) as result:
            rows: Sequence[Any] = result.cursor.fetchall()
            return rows

    def _of_day(self, query: Any, ledger: LedgerDay) -> Sequence[Any]:
        """All rows of a query with `IS_OF_DAY`."""
        return self._all(query, {"source": ledger.source, "day": ledger.day})

    def _dicts(self, query: Any, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All rows by column name."""
        with self._explained():
            result = self._connection.execute(query, values)
            names = [f"{name}" for name in result.keys()]  # noqa: SIM118 - not a dict
            return [dict(zip(names, row, strict=True)) for row in result]

    def _by_day(
        self, table: Table, source: str, window: Window | None
    ) -> dict[date, dict[str, Any]]:
        """The rows of a table that has one for each day, oldest first; without a window, all."""
        query = rows_by_day(table, windowed=window is not None)
        return {row["day"]: row for row in self._dicts(query, source_values(source, window))}

    def _damaged(self, day: date, what: str) -> StoreFailed:
        """The error to raise if `what`, as stored for a day, does not match the ledger."""
        return StoreFailed(
            f"{self._place}: {what} of {day} do not match the ledger; restore the store from a"
            " backup, or fetch the day again with --refresh"
        )
