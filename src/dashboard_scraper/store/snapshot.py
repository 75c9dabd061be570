"""The base of all queries on a snapshot of the store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, bindparam

from dashboard_scraper.store.rows import LedgerDay
from dashboard_scraper.store.schema import USER_DAY

Explained = Callable[[], AbstractContextManager[None]]
"""A context in which errors of the driver become StoreFailed."""

# Queries of a single day, and conditions and sums of many columns, are built once: SQLAlchemy takes
# longer to build them than the database to run them.
IS_OF_DAY = (USER_DAY.c.source == bindparam("source"), USER_DAY.c.day == bindparam("day"))


class Snapshot:
    """A connection with a snapshot's transaction, and the store's place for messages."""

    def __init__(self, connection: Connection, place: str, explained: Explained) -> None:
        self._connection = connection
        self._place = place
        self._explained = explained

    @property
    def connection(self) -> Connection:
        """The connection with the snapshot's transaction."""
        return self._connection

    def _all(self, query: Any, ledger: LedgerDay | None = None) -> list[Any]:
        """All rows; `ledger` gives the parameters of a query for one day."""
        values = {"source": ledger.source, "day": ledger.day} if ledger else {}
        with self._explained():
            return list(self._connection.execute(query, values).all())
