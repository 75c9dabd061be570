"""A store in one SQLite file, for one machine.

WAL lets others read while a run writes; `synchronous=FULL` lets nothing that was reported as kept
get lost with the power.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Date, Engine, Table, create_engine, event, insert
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool
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
from dashboard_scraper.store.backend import Row, View
from dashboard_scraper.store.schema import Moment, create
from dashboard_scraper.store.sqlite_access import WRITING, access_for_reading, may_write, stat_of

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# SQLite waits within C, where no signal is heard: shortly each time, and often.
_BUSY_SECONDS = 0.5
_PATIENCE_SECONDS = 30
_PAUSE_SECONDS = 0.01
_MOST_LOOKS = 5
# Another program writes, or brings in what a run left that was killed; or many open it at once.
_PASSES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
_BEFORE_INTERRUPT_SECONDS = 0.02


class SqliteBackend:
    """A file; its lock, and a note of who holds that, are beside it.

    All have `mode`; what SQLite adds to the file while it is open has that of the file.
    """

    def __init__(self, path: Path, mode: int = PRIVATE) -> None:
        self._path = path
        self._mode = mode
        self._new_path = path.with_name(f".{path.name}.new")
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._holder_path = path.with_name(f"{path.name}.holder")
        self._ended = threading.Event()
        self._writer: Connection | None = None
        self._engine = cache(self._new_engine)  # each compiles every statement for itself

    errors = (SQLAlchemyError, sqlite3.Error)

    @property
    def shown(self) -> str:
        return str(self._path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
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
            with contextlib.suppress(OSError):  # what holds is the lock; this is for people
                self._holder_path.unlink(missing_ok=True)  # of a run that was killed
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
        """A run that was killed while it made the store left them."""
        with explained(self._new_path):
            for suffix in ("", "-journal", "-wal", "-shm"):
                self._new_path.with_name(f"{self._new_path.name}{suffix}").unlink(missing_ok=True)

    def _narrow(self) -> None:
        """A store of an earlier version, or of a wider OUTPUT_MODE, is closed to the others too.

        One that is narrower than the setting stays so: somebody wanted that.
        """
        file = os.path.realpath(self._path)  # beside which SQLite has the others
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
        """The system's own: it is this process' until it ends."""

    def exists(self) -> bool:
        try:
            return stat_of(self._path) is not None
        except OSError as error:
            raise StoreFailed(f"{self._path} cannot be read: {error.strerror or error}") from error

    def create(self) -> None:
        """Under another name first: a file under the store's own name always has its tables."""
        new = self._new_path
        self._remove_new()  # of a call that failed
        with explained(new):
            os.close(create_file(new, self._mode))
        with self._engine(WRITING, "BEGIN IMMEDIATE", new).connect() as connection:
            with connection.begin():
                create(connection)
            # Kept in the file's head; to set it later would change a file that may not be ours.
            _driver(connection).execute("PRAGMA journal_mode=WAL")
        with explained(self._path):
            new.replace(self._path)
            flush_folder(self._path.parent)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """At the end all is in the file itself: who may only read can open it alone."""
        with self._engine(WRITING, "BEGIN IMMEDIATE").connect() as connection:
            self._writer = connection
            try:
                yield
            finally:
                self._writer = None
                with contextlib.suppress(sqlite3.Error):  # what is in the log is kept as well
                    driver = _driver(connection)
                    driver.rollback()
                    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        if self._writer is None:
            raise RuntimeError("only a run that holds the lock may write")
        with self._writer.begin():
            return work(self._writer)

    def hurry(self) -> None:
        self._ended.set()

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        for attempt in itertools.count(1):
            access = access_for_reading(self._path)
            try:
                connection = self._begun(access.options)
                break
            except (OperationalError, sqlite3.OperationalError) as error:
                # A run may have removed its log between the look and the opening.
                if _error_code(error) != sqlite3.SQLITE_CANTOPEN or attempt == _MOST_LOOKS:
                    raise
        with connection:
            yield View(connection, access.confirm)

    def _begun(self, options: str) -> Connection:
        connection = self._engine(options, "BEGIN").connect()
        try:
            # It is this that takes the moment; another program may be mending what was left behind.
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
            return "it is damaged; bring it back from a backup, or move it away and fetch again"
        if code == sqlite3.SQLITE_CANTOPEN and not os.access(self._path, os.R_OK):
            return "this user may not read it"
        return None

    def scrub(self) -> None:
        """Rewrite the file: pages keep what was removed from them, and also, where SQLite once
        moved rows to another page, copies that `secure_delete` would not overwrite.
        """
        if self._writer is None:
            return
        driver = _driver(self._writer)
        self._patiently(lambda: interruptibly(driver, "VACUUM"))
        busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            logger.warning(
                "another program is reading %s: what was removed is in its files until that ends",
                self.shown,
            )

    def _new_engine(self, options: str, begin: str, path: Path | None = None) -> Engine:
        """An engine whose transactions begin with `begin`; it never makes a file."""
        engine = create_engine(
            "sqlite://",
            creator=lambda: self._connected(path or self._path, options),
            poolclass=NullPool,
        )
        event.listen(
            engine,
            "begin",
            lambda connection: self._patiently(lambda: connection.exec_driver_sql(begin)),
        )
        return engine

    def _connected(self, path: Path, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{options}",
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
        """Try again while another program writes; between two tries, signals are heard."""
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
    """Insert many rows of one day: three times as quick as SQLAlchemy's own way."""
    statement = str(insert(table).compile(dialect=connection.dialect))
    with contextlib.closing(_driver(connection).cursor()) as cursor:
        cursor.executemany(statement, _plain(table, rows))


def _plain(table: Table, rows: Iterable[Row]) -> Iterator[list[object]]:
    """The rows with the types that SQLite has."""
    days, moments = _places(table, Date), _places(table, Moment)
    texts: dict[date, str] = {}
    for row in rows:
        plain = list(row)
        for i in days:
            plain[i] = texts.get(row[i]) or texts.setdefault(row[i], row[i].isoformat())
        for i in moments:
            if plain[i] is not None:
                plain[i] = iso_utc(row[i])
        yield plain


def _places(table: Table, kind: type[TypeEngine[Any]]) -> list[int]:
    return [i for i, column in enumerate(table.c) if isinstance(column.type, kind)]


def _driver(connection: Connection) -> Any:
    """SQLite's own connection: on SQLAlchemy's, every statement begins a transaction."""
    return connection.connection.driver_connection


def _error_code(error: Exception) -> int | None:
    """SQLite's own, without its extension; of SQLAlchemy's errors, that of their cause."""
    code: int | None = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def interruptibly(driver: sqlite3.Connection, statement: str) -> None:
    """Execute what may take minutes in a thread: the main one goes on hearing signals."""
    raised: list[sqlite3.Error] = []
    done = threading.Event()  # a thread's `join` takes it for ended when a signal cuts in

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
        while not done.wait(_BEFORE_INTERRUPT_SECONDS):  # told to end: what was begun is undone
            driver.interrupt()
    if raised:
        raise raised[0]
