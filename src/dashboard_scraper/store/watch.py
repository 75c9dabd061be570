"""Noticing that something was committed to a store, without reading what.

A watch keeps a connection open, and compares what the database itself counts: so it notices every
program's commits, also those of older versions of this one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Protocol

from dashboard_scraper.store.sqlite_access import IMMUTABLE, access_for_reading, stamp_of


class Watch(Protocol):
    """May be used from any thread."""

    def state(self) -> Hashable:
        """Equal to an earlier state only if nothing was committed in between."""
        ...

    def close(self) -> None:
        """Close the connection; a later `state` opens another."""
        ...


class SqliteWatch:
    """SQLite counts the commits of others for each connection: `PRAGMA data_version`."""

    def __init__(self, path: Path, connected: Callable[[Path, str], sqlite3.Connection]) -> None:
        self._path = path
        self._connected = connected
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[object, ...] = ()
        self._count = 0

    def state(self) -> Hashable:
        """The count, and which file and connection it is of.

        A restored backup is another file, or the same one without a commit: then its size or time
        of change is another.
        """
        real = Path(os.path.realpath(self._path))
        with self._lock:
            options = access_for_reading(self._path).options
            stamp = stamp_of(real)
            if stamp is None or options == IMMUTABLE:  # SQLite would not look at the file again
                return stamp
            if self._connection is None or self._opened != (options, stamp[0]):
                self._close()
                self._connection = self._connected(real, options)
                self._opened = options, stamp[0]
                self._count += 1
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return self._count, version, stamp

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresWatch:
    """PostgreSQL's current snapshot is another one after each commit that changed anything.

    It covers all databases of the server, so that it may change without need, but never too late.
    """

    def __init__(self, connected: Callable[[], Any], errors: tuple[type[Exception], ...]) -> None:
        self._connected = connected
        self._errors = errors
        self._lock = threading.Lock()
        self._connection: Any = None

    def state(self) -> Hashable:
        """The snapshot as text; on a new connection if the server closed the last one."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(*self._errors):
                    return self._snapshot()
                self._close()
            self._connection = self._connected()
            return self._snapshot()

    def _snapshot(self) -> Hashable:
        # Its older name, which every supported version has.
        row = self._connection.execute("SELECT txid_current_snapshot()::text").fetchone()
        return str(row[0])

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
