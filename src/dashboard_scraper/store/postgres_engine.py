"""SQLAlchemy's engines for all PostgreSQL stores of a process: one for each server.

An engine caches compiled statements, and compiling a statement takes longer than running it. It
also caches what it asks the server at first, such as the server's version.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from dashboard_scraper.store.postgres_url import connected

_parameters: ContextVar[Mapping[str, Any]] = ContextVar("_parameters")


def connect(parameters: Mapping[str, Any]) -> Connection:
    """A connection with the driver's parameters."""
    token = _parameters.set(parameters)
    try:
        return _engine_for(parameters.get("host"), parameters.get("port")).connect()
    finally:
        _parameters.reset(token)


@cache
def _engine_for(_host: str | None, _port: int | str | None) -> Engine:
    return create_engine(
        "postgresql+psycopg://",
        creator=_opened,
        poolclass=NullPool,
        use_native_hstore=False,  # saves SQLAlchemy's query for that type on each connection
    )


def _opened() -> psycopg.Connection[Any]:
    return connected(_parameters.get())
