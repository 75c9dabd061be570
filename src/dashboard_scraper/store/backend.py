"""Where a store can be: what SQLite and PostgreSQL do differently, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection

Row = tuple[Any, ...]


class Backend(Protocol):
    """One place for a store. Nothing is touched before a method is called."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its driver and SQLAlchemy raise."""
        ...

    @property
    def shown(self) -> str:
        """The place, fit for a log: without a password."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other run away from the store; LockHeld where one is there already."""
        ...

    def exists(self) -> bool:
        """Whether a store, or anything else, is in the place."""
        ...

    def create(self) -> None:
        """Make an empty store, whole or not at all; the lock is held."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """The connection of the run that holds the lock."""
        ...

    def reading(self) -> Connection:
        """A connection that sees all the time what the store was when its transaction began."""
        ...

    def load(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Insert user-days, in the order of the table's columns, in the current transaction."""
        ...

    def explain(self, error: Exception) -> str | None:
        """What to do about an error of the driver, where more can be said than its own words."""
        ...

    def scrub(self, connection: Connection) -> None:
        """Leave no copy of removed rows in the store's files; outside of a transaction."""
        ...
