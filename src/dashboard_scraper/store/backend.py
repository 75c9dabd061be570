"""Where a store can be: what SQLite and PostgreSQL do differently, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Table

Row = tuple[Any, ...]
Load = Callable[[Connection, Table, Iterable[Row]], None]
"""What `Backend.load` is."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class View:
    """The store as it is at one moment.

    `confirm` is called after each query, with all its rows read: it raises StoreFailed where they
    may not be those of that moment.
    """

    connection: Connection
    confirm: Callable[[], None]


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

    def check_lock(self) -> None:
        """LockLost where the run that believes to hold the lock has lost it to another."""
        ...

    def exists(self) -> bool:
        """Whether a store, or anything else, is in the place."""
        ...

    def create(self) -> None:
        """Make an empty store, whole or not at all; the lock is held."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Make ready for `transact`; the lock is held."""
        ...

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do the work in one transaction, which is committed whole or not at all.

        It may be done anew where a connection is lost; LockLost where the lock is.
        """
        ...

    def hurry(self) -> None:
        """End every wait, in all threads: the run ends."""
        ...

    def reading(self) -> AbstractContextManager[View]:
        """The store as it is now, whatever is written meanwhile."""
        ...

    def may_change(self, connection: Connection) -> bool:
        """Whether whoever runs this may bring an older store up to date."""
        ...

    def load(self, connection: Connection, table: Table, rows: Iterable[Row]) -> None:
        """Insert many rows, in the order of the table's columns, in the current transaction."""
        ...

    def explain(self, error: Exception) -> str | None:
        """What to do about an error of the driver, where more can be said than its own words."""
        ...

    def scrub(self) -> None:
        """Leave no copy of removed rows in the store's files; within `writing`."""
        ...
