"""Noticing that something was committed to a store, without reading what it was.

A watch keeps a connection open and compares the database's own counters, so it notices the commits
of every program, also of older versions of this one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Protocol

from dashboard_scraper.store.sqlite_access import (
    IMMUTABLE,
    WRITING,
    access_for_reading,
    file_of,
    stamp_of,
)


class Watch(Protocol):
    """Notices commits to one store; may be used from any thread."""

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
        self._opened: tuple[str, tuple[int, int]] | None = None
        self._index: Path | None = None
        self._index_file: tuple[int, int] | None = None
        self._count = 0

    def state(self) -> Hashable:
        """The count of commits, and which file and connection it belongs to.

        A restored backup is another file, or the same file changed without a commit: then its size
        or modification time differs.
        """
        with self._lock:
            stamp, connection = stamp_of(self._path), self._connection
            # A process that may write can go on reading what is open, so nothing else is checked:
            # every request to a server asks for the state.
            if not (stamp and connection and self._is_open(WRITING, file_of(stamp))):
                real = Path(os.path.realpath(self._path))
                options = access_for_reading(self._path).options
                stamp = stamp_of(real)
                if stamp is None or options == IMMUTABLE:  # SQLite would not look at it again
                    return stamp
                connection = self._open(real, options, file_of(stamp))
            try:
                (version,) = connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                self._close()
                raise
            return self._count, version, stamp

    def _is_open(self, options: str, file: tuple[int, int]) -> bool:
        """Whether the connection is to this file with these options, and to its index. Whoever
        copies a backup over the file first removes the log and the index beside it, and later
        commits are in new ones.
        """
        return self._opened == (options, file) and self._index_file == self._found_index()

    def _found_index(self) -> tuple[int, int] | None:
        stamp = stamp_of(self._index) if self._index else None
        return file_of(stamp) if stamp else None

    def _open(self, real: Path, options: str, file: tuple[int, int]) -> sqlite3.Connection:
        """The connection to this file with these options; opened if it is not open yet."""
        if self._connection is None or not self._is_open(options, file):
            self._close()
            self._connection = self._connected(real, options)
            self._connection.execute("PRAGMA data_version").fetchone()  # makes the index
            self._opened = options, file
            self._index = Path(f"{real}-shm")
            self._index_file = self._found_index()
            self._count += 1
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresWatch:
    """PostgreSQL's current snapshot differs after each commit that changed anything.

    It covers all databases of the server, so it may change without need, but never too late.
    """

    def __init__(self, connected: Callable[[], Any], errors: tuple[type[Exception], ...]) -> None:
        self._connected = connected
        self._errors = errors
        self._lock = threading.Lock()
        self._connection: Any = None

    def state(self) -> Hashable:
        """The snapshot as text, from a new connection if the server closed the last one."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(*self._errors):
                    return self._snapshot()
                self._close()
            self._connection = self._connected()
            return self._snapshot()

    def _snapshot(self) -> Hashable:
        # The function's older name, which every supported version has.
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
