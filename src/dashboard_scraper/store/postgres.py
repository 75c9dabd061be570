"""A store in a PostgreSQL database, for a team that shares one, or has outgrown one machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dashboard_scraper.date_utils import iso_utc
from dashboard_scraper.errors import LockHeld, UsageError
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.store.backend import Row
from dashboard_scraper.store.schema import INFO, USER_DAY, create

# Any number would do, so long as no other program locks with it in the same database.
_LOCK = 0x6461_7368_7363_7261
_CONNECT_SECONDS = 10
_ROWS_PER_CHUNK = 2000
_encode_lines = msgspec.json.Encoder().encode_lines

_HOLDER = text("""
    SELECT a.application_name, a.client_addr, a.backend_start
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = :high AND l.objid::bigint = :low
""").bindparams(high=_LOCK >> 32, low=_LOCK & 0xFFFFFFFF)


class PostgresBackend:
    """A database; the lock is an advisory one, held by the connection that writes.

    Should the server end that connection, the lock is gone, and so is all that could write.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        try:
            import psycopg  # noqa: PLC0415 - an extra, and a tenth of a second
        except ImportError:
            raise UsageError(
                "STORE_URL names a PostgreSQL server, and its driver is not installed:"
                f" {how_to_install('postgres')}"
            ) from None
        self.errors = (SQLAlchemyError, psycopg.Error)
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": f"dashboard-scraper {os.getpid()} on {socket.gethostname()}",
            },
        )
        # Elsewhere, a moment at the edge of the calendar would be beyond it.
        event.listen(self._engine, "connect", _speak_utc)
        self._held: Connection | None = None

    @property
    def shown(self) -> str:
        return self._url.set(query={}).render_as_string(hide_password=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self._engine.connect() as connection:
            with connection.begin():
                if not connection.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
                    who = connection.execute(_HOLDER).first()
                    raise LockHeld(
                        f"another run works on {self.shown}: {_described(who)}; wait for it to end"
                    )
            self._held = connection
            try:
                yield
            finally:
                self._held = None
                # Said, not left to the end of the connection: the server notices that only later,
                # and a run that begins at once would find the lock held.
                with contextlib.suppress(*self.errors):
                    connection.rollback()
                    connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK})"))
                    connection.commit()

    def exists(self) -> bool:
        with self._engine.connect() as connection:
            encoding = connection.scalar(text("SHOW server_encoding"))
            if encoding != "UTF8":
                raise UsageError(
                    f"the database {self.shown} has the encoding {encoding}; make one with UTF8"
                )
            return inspect(connection).has_table(INFO.name)

    def create(self) -> None:
        with self.writing() as connection, connection.begin():
            create(connection)

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        if self._held is None:
            raise RuntimeError("only a run that holds the lock may write")
        return contextlib.nullcontext(self._held)

    def reading(self) -> Connection:
        return self._engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def load(self, connection: Connection, rows: Iterable[Row]) -> None:
        """COPY straight into the table: the day's old rows are gone, so there are none to meet."""
        columns = ", ".join(column.name for column in USER_DAY.c)
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(
                f"COPY {USER_DAY.name} ({columns}) FROM STDIN (FORMAT csv, NULL 'null')"
            ) as copy,
        ):
            for chunk in _csv_chunks(rows):
                copy.write(chunk)

    def explain(self, error: Exception) -> str | None:
        if isinstance(error, OperationalError) and not error.connection_invalidated:
            return "is the server up, and STORE_URL right?"
        return None

    def scrub(self, connection: Connection) -> None:
        """The server reuses the room in its own time."""


def _speak_utc(connection: Any, _record: object) -> None:
    connection.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _described(holder: Any) -> str:
    if holder is None:
        return "it has just ended"
    name, address, begun = holder
    return f"{name} from {address or 'the same machine'}, since {iso_utc(begun)}"


def _csv_chunks(rows: Iterable[Row]) -> Iterator[bytes]:
    """What COPY reads, in pieces: every text in quotes, and `null` without any for NULL.

    A line of JSON is just that, less its brackets, so long as nothing in it had to be escaped; and
    is made ten times as quickly as by the csv module.
    """
    iterator = iter(rows)
    while few := list(itertools.islice(iterator, _ROWS_PER_CHUNK)):
        lines = _encode_lines(few)
        if b"\\" in lines:
            yield b"".join(f"{','.join(map(_cell, row))}\n".encode() for row in few)
        else:
            yield lines.replace(b"]\n[", b"\n")[1:-2] + b"\n"


def _cell(value: object) -> str:
    if isinstance(value, str):
        return '"{}"'.format(value.replace('"', '""'))
    return "null" if value is None else str(value)
