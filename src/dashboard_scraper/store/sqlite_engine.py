"""SQLAlchemy's engine for all SQLite stores of a process.

One for all, since an engine caches compiled statements, and compiling a statement takes longer than
running it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextvars import ContextVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

_opener: ContextVar[Callable[[], sqlite3.Connection]] = ContextVar("_opener")
_BEGIN = "begin_with"


def _opened() -> sqlite3.Connection:
    return _opener.get()()


_engine = create_engine("sqlite://", creator=_opened, poolclass=NullPool)


def connect(
    opener: Callable[[], sqlite3.Connection], begin: Callable[[Connection], object]
) -> Connection:
    """A connection through `opener`, which calls `begin` at the start of each transaction."""
    token = _opener.set(opener)
    try:
        connection = _engine.connect()
    finally:
        _opener.reset(token)
    return connection.execution_options(**{_BEGIN: begin})


@event.listens_for(_engine, "begin")
def _begin(connection: Connection) -> None:
    connection.get_execution_options()[_BEGIN](connection)
