"""A store in a PostgreSQL database, for teams that share a store or have outgrown one machine.

It also works behind a pooler in transaction mode, which may run each transaction in another
session: nothing here relies on session state, such as SET, advisory locks or prepared statements.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
import psycopg
from sqlalchemy import URL, Connection, Table, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from dashboard_scraper.errors import UsageError
from dashboard_scraper.store.backend import Row, View
from dashboard_scraper.store.lease import Lease
from dashboard_scraper.store.migration import create
from dashboard_scraper.store.patience import Patience, Retries
from dashboard_scraper.store.postgres_engine import connect
from dashboard_scraper.store.postgres_url import connected, parameters_of, passing_reason
from dashboard_scraper.store.schema import INFO
from dashboard_scraper.store.watch import PostgresWatch

Result = TypeVar("Result")

_ROWS_PER_CHUNK = 2000
_encode_lines = msgspec.json.Encoder().encode_lines
_INSUFFICIENT_PRIVILEGE = "42501"

# Set in each transaction, to override defaults of the role or database, and settings of earlier
# clients of a pooled session. In other time zones, timestamps at the edge of the calendar overflow
# Python's; with fewer float digits, figures would be read with other values than those stored.
_PREPARE = """
    SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),
           set_config('extra_float_digits', '1', true)
"""
# A suspended run must not hold its row locks for longer than its lease.
_PREPARE_WRITING = (
    f"{_PREPARE}, set_config('idle_in_transaction_session_timeout', '{{:.0f}}', true)"
)
_MAY_CHANGE = text("""
    SELECT NOT pg_is_in_recovery() AND pg_has_role(relowner, 'USAGE')
    FROM pg_class WHERE oid = to_regclass(:table)
""").bindparams(table=INFO.name)


class PostgresBackend:
    """A database. Each transaction opens its own connection, so none is idle while days are
    fetched: servers and gateways would drop idle ones after a timeout.
    """

    def __init__(self, url: URL, patience: Patience, lease_seconds: float) -> None:
        self._url = url
        self._token = secrets.token_hex(4)
        self._parameters = parameters_of(url, self._token)
        self._lease_seconds = lease_seconds
        self._retries = Retries(patience, self.errors, self._why_again)
        self.watch = PostgresWatch(self._alone, self.errors)
        self._lease: Lease | None = None

    errors = (SQLAlchemyError, psycopg.Error)
    has_versions = True

    @property
    def shown(self) -> str:
        return self._url.set(query={}).render_as_string(hide_password=True)

    def _why_again(self, error: Exception) -> str | None:
        reason = passing_reason(error)
        return None if reason is None else f"{self.shown}: {reason}"

    def _alone(self) -> psycopg.Connection[Any]:
        """A connection in autocommit mode."""
        return connected({**self._parameters, "autocommit": True})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        lease = Lease(self._alone, self._retries, self._token, self._lease_seconds)
        lease.take(self.shown)
        self._lease = lease
        try:
            yield
        finally:
            self._lease = None
            lease.free()
            self._retries.begin()

    def _held(self) -> Lease:
        if self._lease is None:
            raise RuntimeError("only a run that holds the lock may write")
        return self._lease

    def check_lock(self) -> None:
        self._held().check()

    def exists(self) -> bool:
        return self._retries.run(self._exists)

    def _exists(self) -> bool:
        with connect(self._parameters) as connection:
            encoding = connection.scalar(text("SHOW server_encoding"))
            if encoding != "UTF8":
                raise UsageError(
                    f"the database {self.shown} has the encoding {encoding}; make one with UTF8"
                )
            return inspect(connection).has_table(INFO.name)

    def create(self) -> None:
        self.transact(create)

    def writing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """If the connection is lost during COMMIT, the lease knows whether the transaction was
        committed, so no work is applied twice.
        """
        lease = self._held()
        number = lease.next_number()
        tries = 0
        results: list[Result] = []

        def attempt() -> Result:
            nonlocal tries
            tries += 1
            if tries > 1 and lease.is_sealed(number):
                return results[0]
            results.clear()
            with self._writer() as connection, connection.begin():
                connection.exec_driver_sql(_PREPARE_WRITING.format(1000 * self._lease_seconds))
                result = work(connection)
                lease.seal(connection, number)
                results.append(result)
            return result

        try:
            result = self._retries.run(attempt)
        except self.errors:
            # The error may only be a consequence of what another run wrote in the meantime.
            lease.raise_if_lost()
            raise
        lease.note_sealed(number)
        return result

    def _writer(self) -> Connection:
        # The lease's seal must see what another run has committed since this transaction began; a
        # role's default may be a stricter level.
        return connect(self._parameters).execution_options(isolation_level="READ COMMITTED")

    def stop_waiting(self) -> None:
        self._retries.end()

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        connection = self._retries.run(self._begun)
        try:
            yield View(connection, lambda: None)
        finally:
            # If the server has already closed the connection, nothing is lost: either all was read,
            # or an error was raised.
            with contextlib.suppress(*self.errors):
                connection.close()

    def _begun(self) -> Connection:
        connection = connect(self._parameters).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        try:
            connection.exec_driver_sql(_PREPARE)  # this begins the transaction
        except BaseException:
            connection.close()
            raise
        return connection

    def may_change(self, connection: Connection) -> bool:
        return bool(connection.scalar(_MAY_CHANGE))

    def load(self, connection: Connection, table: Table, rows: Iterable[Row]) -> None:
        """COPY into the table; the caller has deleted the rows that these replace."""
        columns = ", ".join(column.name for column in table.c)
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(
                f"COPY {table.name} ({columns}) FROM STDIN (FORMAT csv, NULL 'null')"
            ) as copy,
        ):
            for chunk in _csv_chunks(rows):
                copy.write(chunk)

    def explain(self, error: Exception) -> str | None:
        cause = getattr(error, "orig", None) or error
        if getattr(cause, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            return "runs that fetch or forget need a role that may write and create tables there"
        if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
            return "is the server up, and STORE_URL right?"
        return None

    def scrub(self) -> None:
        """Do nothing: autovacuum reclaims the space of deleted rows."""


def _csv_chunks(rows: Iterable[Row]) -> Iterator[bytes]:
    """Rows as CSV for COPY, in chunks: every text in quotes, and an unquoted `null` for NULL.

    A JSON array without its brackets is such a line, as long as nothing in it is escaped, and
    msgspec writes it ten times as fast as the csv module.
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
