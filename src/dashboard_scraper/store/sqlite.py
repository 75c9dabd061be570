"""A store in one SQLite file, for one machine.

WAL mode lets others read while a run writes. `synchronous=FULL` flushes each commit, so that a day
that was reported as stored survives a power cut.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import operator
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Date, Table, insert
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from dashboard_scraper.errors import LockHeld, StoreFailed
from dashboard_scraper.files import (
    PRIVATE,
    create_file,
    explained,
    flush_folder,
    make_folder,
    narrow,
)
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.model.money import shown
from dashboard_scraper.store.backend import Row, View
from dashboard_scraper.store.column_types import Amount, Moment
from dashboard_scraper.store.migration import create
from dashboard_scraper.store.sqlite_access import WRITING, access_for_reading, may_write, stat_of
from dashboard_scraper.store.sqlite_engine import connect
from dashboard_scraper.store.watch import SqliteWatch

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# SQLite's busy timeout waits in C, where Python handles no signals, so it is short and retried.
_BUSY_SECONDS = 0.5
_PATIENCE_SECONDS = 30
_PAUSE_SECONDS = 0.01
_MOST_LOOKS = 5
# Another program is writing, or recovering the WAL of a killed run; or many open it at once.
_PASSES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
_BEFORE_INTERRUPT_SECONDS = 0.02
_WRITE = "BEGIN IMMEDIATE"
_ROWS_AT_ONCE = 1000


class SqliteBackend:
    """A file; beside it are its lock file, and a note of which process holds the lock.

    All have `mode`; the -wal and -shm files that SQLite adds get the mode of the database file.
    """

    def __init__(self, path: Path, mode: int = PRIVATE) -> None:
        self._path = path
        self._mode = mode
        self._new_path = path.with_name(f".{path.name}.new")
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._holder_path = path.with_name(f"{path.name}.holder")
        self._ended = threading.Event()
        self._writer: Connection | None = None
        self.watch = SqliteWatch(path, self._connected)

    errors = (SQLAlchemyError, sqlite3.Error)
    has_versions = True

    @property
    def shown(self) -> str:
        return str(self._path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        # Imported here, since it imports a lot, and reading needs no lock.
        from filelock import FileLock, Timeout  # noqa: PLC0415

        make_folder(self._path.parent, self._mode)
        with explained(self._lock_path), contextlib.ExitStack() as held:
            try:
                held.enter_context(FileLock(self._lock_path, timeout=0, mode=self._mode))
            except Timeout:
                raise LockHeld(
                    f"another run works on {self.shown}: {self._holder()}; wait for it to end"
                ) from None
            begun = iso_utc(datetime.now(UTC).replace(microsecond=0))
            held.callback(self._holder_path.unlink, missing_ok=True)
            with contextlib.suppress(OSError):  # only for people's information: the lock is held
                self._holder_path.unlink(missing_ok=True)  # left by a killed run
                with open(create_file(self._holder_path, self._mode), "w") as file:  # noqa: PTH123
                    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {begun}\n")
            free = held.pop_all()
        with free:
            self._remove_new()
            self._narrow()
            try:
                yield
            finally:
                self._ended.clear()

    def _remove_new(self) -> None:
        """Remove the files of a run that was killed while it created the store."""
        with explained(self._new_path):
            for suffix in ("", "-journal", "-wal", "-shm"):
                self._new_path.with_name(f"{self._new_path.name}{suffix}").unlink(missing_ok=True)

    def _narrow(self) -> None:
        """Restrict the files of a store that was created with a wider mode to OUTPUT_MODE.

        A mode that is narrower than the setting stays: somebody chose it deliberately.
        """
        file = os.path.realpath(self._path)  # SQLite puts -wal and -shm beside a link's target
        paths = [self._lock_path, *(Path(f"{file}{end}") for end in ("", "-wal", "-shm"))]
        if sum(narrow(path, self._mode) for path in paths):
            logger.warning(
                "%s could be read by others; its mode is %o now, as OUTPUT_MODE says",
                self.shown,
                self._mode,
            )

    def _holder(self) -> str:
        try:
            return self._holder_path.read_text().strip() or "it has just begun"
        except OSError:
            return "it has just begun"

    def check_lock(self) -> None:
        """Nothing: a file lock of the system cannot be lost while the process lives."""

    def exists(self) -> bool:
        try:
            return stat_of(self._path) is not None
        except OSError as error:
            raise StoreFailed(f"{self._path} cannot be read: {error.strerror or error}") from error

    def create(self) -> None:
        """Create the file under another name first, so that a file with the store's name always has
        tables.
        """
        new = self._new_path
        self._remove_new()  # left by a call that failed
        with explained(new):
            os.close(create_file(new, self._mode))
        with self._open(WRITING, _WRITE, new) as connection:
            with connection.begin():
                create(connection)
            # Persistent in the file's header. Not set when opening: that would change a file before
            # it is known to be a store.
            _driver(connection).execute("PRAGMA journal_mode=WAL")
        with explained(self._path):
            new.replace(self._path)
            flush_folder(self._path.parent)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """At the end, the WAL is merged into the file, so that read-only users can open it."""
        with self._open(WRITING, _WRITE) as connection:
            self._writer = connection
            try:
                yield
            finally:
                self._writer = None
                with contextlib.suppress(sqlite3.Error):  # what stays in the WAL is stored as well
                    driver = _driver(connection)
                    driver.rollback()
                    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        if self._writer is None:
            raise RuntimeError("only a run that holds the lock may write")
        with self._writer.begin():
            return work(self._writer)

    def stop_waiting(self) -> None:
        self._ended.set()

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        for attempt in itertools.count(1):
            access = access_for_reading(self._path)
            try:
                connection = self._begun(access.options)
                break
            except (OperationalError, sqlite3.OperationalError) as error:
                # A run may have removed its -wal file between the check and the opening.
                if _error_code(error) != sqlite3.SQLITE_CANTOPEN or attempt == _MOST_LOOKS:
                    raise
        with connection:
            yield View(connection, access.confirm)

    def _begun(self, options: str) -> Connection:
        connection = self._open(options, "BEGIN")
        try:
            # BEGIN is lazy in SQLite: the first read takes the snapshot. It may have to wait while
            # another program recovers the WAL of a killed run.
            self._patiently(lambda: connection.exec_driver_sql("SELECT 1 FROM sqlite_master"))
        except BaseException:
            connection.close()
            raise
        return connection

    def may_change(self, connection: Connection) -> bool:  # noqa: ARG002
        return may_write(self._path)

    def load(self, connection: Connection, table: Table, rows: Iterable[Row]) -> None:
        load(connection, table, rows)

    def explain(self, error: Exception) -> str | None:
        code = _error_code(error)
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return "it is damaged; restore it from a backup, or move it away and fetch again"
        if code == sqlite3.SQLITE_CANTOPEN and not os.access(self._path, os.R_OK):
            return "this user may not read it"
        return None

    def scrub(self) -> None:
        """VACUUM, since deleted rows stay readable in free pages until these are reused.
        `secure_delete` is not enough: it leaves copies where SQLite has moved rows between pages.
        """
        if self._writer is None:
            return
        driver = _driver(self._writer)
        self._patiently(lambda: interruptibly(driver, "VACUUM"))
        busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            logger.warning(
                "another program is reading %s: deleted rows stay in its files until that ends",
                self.shown,
            )

    def _open(self, options: str, begin: str, path: Path | None = None) -> Connection:
        """A connection whose transactions start with `begin`; it never creates a file."""
        return connect(
            lambda: self._connected(path or self._path, options),
            lambda connection: self._patiently(lambda: connection.exec_driver_sql(begin)),
        )

    def _connected(self, path: Path, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?{options}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._patiently(lambda: connection.execute("PRAGMA synchronous=FULL"))
        except BaseException:
            connection.close()
            raise
        return connection

    def _patiently(self, work: Callable[[], object]) -> None:
        """Retry while another program writes; signals are handled between two attempts."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                work()
                return
            except (OperationalError, sqlite3.OperationalError) as error:
                busy = _error_code(error) in _PASSES
                if not busy or time.monotonic() > deadline or self._ended.wait(_PAUSE_SECONDS):
                    raise


def load(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Bulk-load rows through the driver: three times as fast as SQLAlchemy's executemany."""
    iterator = iter(rows)
    with contextlib.closing(_driver(connection).cursor()) as cursor:
        while few := list(itertools.islice(iterator, _ROWS_AT_ONCE)):
            columns = _plain_columns(table, few)
            statement = _insert(table, tuple(columns))
            cursor.executemany(statement, zip(*columns.values(), strict=True))


@cache
def _insert(table: Table, names: tuple[str, ...]) -> str:
    return str(insert(table).compile(dialect=dialect(), column_keys=names))


def _plain_columns(table: Table, rows: Sequence[Row]) -> dict[str, Sequence[object]]:
    """The columns by name, with values of SQLite's types.

    Without columns that are NULL in every row: passing a value takes longer than storing it, and
    every source lacks at least a third of the figures.
    """
    found: dict[str, Sequence[object]] = {}
    for column, plain, values in zip(
        table.c, _plain_of(table), zip(*rows, strict=True), strict=True
    ):
        if column.nullable and column.server_default is None and not any(map(_is_known, values)):
            continue
        found[column.name] = values if plain is None else _all_plain(plain, values)
    return found


def _all_plain(plain: Callable[[Any], str], values: Sequence[Any]) -> Sequence[object]:
    if None in values:
        return [None if value is None else plain(value) for value in values]
    return list(map(plain, values))


_is_known = partial(operator.is_not, None)


_PLAIN: tuple[tuple[type[TypeEngine[Any]], Callable[[Any], str]], ...] = (
    (Date, cache(date.isoformat)),
    (Moment, iso_utc),
    (Amount, shown),
)
"""How values of types that SQLite does not have are stored."""


@cache
def _plain_of(table: Table) -> list[Callable[[Any], str] | None]:
    """For each column, what converts its values to SQLite's types; None if they have such types."""
    return [
        next((plain for kind, plain in _PLAIN if isinstance(column.type, kind)), None)
        for column in table.c
    ]


def _driver(connection: Connection) -> Any:
    """The sqlite3 connection: on SQLAlchemy's, every statement begins a transaction."""
    return connection.connection.driver_connection


def _error_code(error: Exception) -> int | None:
    """SQLite's primary error code, also for an error that SQLAlchemy has wrapped."""
    code: int | None = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the higher bits are the extended code


def interruptibly(driver: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that takes minutes in a thread: the main thread still handles signals."""
    raised: list[sqlite3.Error] = []
    # An event, since Thread.join may mark a running thread as ended if a signal interrupts it.
    done = threading.Event()

    def execute() -> None:
        try:
            driver.execute(statement)
        except sqlite3.Error as error:
            raised.append(error)
        finally:
            done.set()

    threading.Thread(target=execute, name=statement.lower(), daemon=True).start()
    try:
        done.wait()
    finally:
        while not done.wait(_BEFORE_INTERRUPT_SECONDS):  # only after a signal's exception
            driver.interrupt()  # SQLite rolls the statement back
    if raised:
        raise raised[0]
