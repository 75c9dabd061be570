"""DuckDB as the database of a lake's rows: what SQLAlchemy has to know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import NullPool

_NAME = "duckdb"


class DuckDbDialect(DefaultDialect):
    """Only to read: there is nothing to commit."""

    name = _NAME
    driver = _NAME
    default_paramstyle = "qmark"
    supports_statement_cache = True
    supports_native_boolean = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver."""
        return duckdb

    def initialize(self, connection: Connection) -> None:
        """Ask the database nothing."""

    def has_table(self, connection: Connection, table_name: str, *_: Any, **__: Any) -> bool:
        """Whether there is a table or view of this name."""
        query = "SELECT count(*) FROM information_schema.tables WHERE table_name = ?"
        return bool(connection.exec_driver_sql(query, (table_name,)).scalar())

    def do_begin(self, dbapi_connection: Any) -> None:
        """Nothing."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """Nothing."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Nothing."""


class _Cursor:
    """Rows of one statement, read at once. The driver's own cursors are connections of their own,
    which do not know the Arrow data sets that were registered.
    """

    arraysize = 1
    rowcount = -1

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run it."""
        done = self._connection.execute(statement, parameters)
        self.description = [tuple(column) for column in done.description]
        self._rows = done.fetchall()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        rows, self._rows = self._rows, []
        return rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = arraysize) -> list[tuple[Any, ...]]:
        """The next rows."""
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def close(self) -> None:
        """Forget the rows."""
        self._rows = []


class _Session:
    """A connection whose cursors share it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.connection = duckdb.connect(config=dict(config))

    def cursor(self) -> _Cursor:
        """A cursor."""
        return _Cursor(self.connection)

    def close(self) -> None:
        """Close it."""
        self.connection.close()


registry.register(_NAME, __name__, DuckDbDialect.__name__)


def engine_in(folder: str) -> Engine:
    """A database in memory that spills to the folder. It loads no extension from the network."""
    config = {
        "temp_directory": folder,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    return create_engine(f"{_NAME}://", creator=lambda: _Session(config), poolclass=NullPool)
