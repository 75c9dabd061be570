"""DuckDB as the database for a lake's rows: what SQLAlchemy has to know about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import duckdb
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import NullPool

_NAME = "duckdb"
Result = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


class DuckDbDialect(DefaultDialect):
    """Only for reading: there is nothing to commit."""

    name = _NAME
    driver = _NAME
    default_paramstyle = "qmark"
    supports_statement_cache = True
    supports_native_boolean = True
    supports_native_decimal = True  # otherwise SQLAlchemy makes binary floats of amounts

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
    """The rows of one statement, read at once. The driver's own cursors are separate connections,
    which do not know the registered Arrow data sets.
    """

    arraysize = 1
    rowcount = -1

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run it."""
        self.description, rows = self._session.result_of(statement, tuple(parameters))
        self._rows = list(rows)

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


class Session:
    """A connection that its cursors share. Tables that few statements need, and that take long to
    read, are created before the first statement that has one of the names of `later` in it. The
    results of such statements are cached until the connection is closed, since nothing changes.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.connection = duckdb.connect(config=dict(config))
        self._names: Collection[str] = ()
        self._create: Callable[[duckdb.DuckDBPyConnection], None] | None = None
        self._results: dict[tuple[Any, ...], Result] = {}

    def later(
        self, names: Collection[str], create: Callable[[duckdb.DuckDBPyConnection], None]
    ) -> None:
        """Set how to create the tables of these names."""
        self._names, self._create = names, create

    def result_of(self, statement: str, parameters: tuple[Any, ...]) -> Result:
        """The columns and rows of a statement."""
        if not any(name in statement for name in self._names):
            return self._executed(statement, parameters)
        if self._create is not None:
            create, self._create = self._create, None
            create(self.connection)
        key = statement, parameters
        if key not in self._results:
            self._results[key] = self._executed(statement, parameters)
        return self._results[key]

    def _executed(self, statement: str, parameters: tuple[Any, ...]) -> Result:
        done = self.connection.execute(statement, parameters)
        return [tuple(column) for column in done.description], done.fetchall()

    def cursor(self) -> _Cursor:
        """A cursor."""
        return _Cursor(self)

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
    return create_engine(f"{_NAME}://", creator=lambda: Session(config), poolclass=NullPool)
