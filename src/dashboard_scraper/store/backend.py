"""The interface of a storage backend: only what SQLite, PostgreSQL and a lake do differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Table

from dashboard_scraper.store.watch import Watch

Row = tuple[Any, ...]
Load = Callable[[Connection, Table, Iterable[Row]], None]
"""The type of `Backend.load`."""
Result = TypeVar("Result")


class View(msgspec.Struct, frozen=True):
    """A consistent snapshot of the store.

    `confirm` is called after each query, once all its rows are read. It raises StoreFailed if they
    may not belong to the snapshot.
    """

    connection: Connection
    confirm: Callable[[], None]


class Backend(Protocol):
    """A place for a store. Creating one has no effect; connections are opened by the methods."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exceptions that its driver and SQLAlchemy raise."""
        ...

    @property
    def has_versions(self) -> bool:
        """Whether it stores versions of days that are not in force."""
        ...

    @property
    def shown(self) -> str:
        """The place without a password, for logs and messages."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Hold the store's lock, so that no other run writes; LockHeld if another run has it."""
        ...

    def check_lock(self) -> None:
        """Raise LockLost if another run has taken over the lock."""
        ...

    def exists(self) -> bool:
        """Whether there is a store, or anything else, in this place."""
        ...

    def create(self) -> None:
        """Create an empty store, atomically. Requires the lock."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Open for `transact`. Requires the lock."""
        ...

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Run the work in one transaction, and commit it.

        If the connection is lost, the work may run again. Raises LockLost if the lock is lost.
        """
        ...

    def stop_waiting(self) -> None:
        """End every wait and retry, in all threads, since the run is ending."""
        ...

    def reading(self) -> AbstractContextManager[View]:
        """A snapshot of the store as it is now, whatever is written meanwhile."""
        ...

    @property
    def watch(self) -> Watch:
        """What notices commits to the store; it opens a connection only when its state is asked
        for.
        """
        ...

    def may_change(self, connection: Connection) -> bool:
        """Whether this user may migrate an older store."""
        ...

    def load(self, connection: Connection, table: Table, rows: Iterable[Row]) -> None:
        """Bulk-load rows, in the order of the table's columns, within the current transaction."""
        ...

    def explain(self, error: Exception) -> str | None:
        """Advice about an error of the driver, if the driver's message does not say enough."""
        ...

    def scrub(self) -> None:
        """Overwrite what is left of deleted rows in the store's files. Requires `writing`."""
        ...


def first_line_of(error: Exception) -> str:
    """The first line of a driver's message: in the other lines, a server may repeat data."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
