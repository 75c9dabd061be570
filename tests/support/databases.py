"""STORE_URL of each kind of database; with fixtures."""

from __future__ import annotations

import atexit
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from conftest import Home
from dashboard_scraper.people.people import People
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.store import Store, store_at

SERVER, POOLER = "TEST_POSTGRES_URL", "TEST_PGBOUNCER_URL"
_LOOKS, _PAUSE = 50, 0.01


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of a PostgreSQL server on which databases may be created; skips if there is none."""
    url = os.environ.get(SERVER)
    if url is None:
        assert "CI" not in os.environ, f"CI provides a server; {SERVER} has to say where"
        pytest.skip(f"no PostgreSQL server: {SERVER} is not set")
    return url


@pytest.fixture(scope="session")
def prepared_database(postgres_server: str) -> Iterator[str]:
    """The name of a database with an empty store: copying costs a tenth of creating the tables."""
    with new_database(postgres_server, "template0") as url:
        store = store_at(url)
        with store.locked(), store.opened():
            pass
        yield str(make_url(url).database)


@contextmanager
def new_database(server_url: str, template: str) -> Iterator[str]:
    name, server = f"test_{secrets.token_hex(8)}", _connection(server_url)
    # FILE_COPY takes a third of the time of WAL_LOG, as long as the server does not flush.
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' STRATEGY FILE_COPY")
    try:
        yield make_url(server_url).set(database=name).render_as_string(False)
    finally:
        _drop(server, name)


@cache
def _connection(server_url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """One connection that creates and drops databases: each session is a process of the server."""
    connection = psycopg.connect(server_url, autocommit=True)
    atexit.register(connection.close)
    return connection


def _drop(server: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    """With FORCE but without this loop, the server would end the pooler's connections, check at
    once whether they are gone, and check again only after a tenth of a second.
    """
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    for _ in range(_LOOKS):
        if not server.execute(ended, [name]).fetchall():
            break
        time.sleep(_PAUSE)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """STORE_URL of an empty database of the test's own."""
    with new_database(postgres_server, "template0") as url:
        yield url


@pytest.fixture
def postgres_store_url(postgres_server: str, prepared_database: str) -> Iterator[str]:
    """STORE_URL of a database with a store that has no days yet."""
    with new_database(postgres_server, prepared_database) as url:
        yield url


@pytest.fixture
def pgbouncer_url(postgres_url: str) -> str:
    """STORE_URL behind a PgBouncer that gives each transaction another session."""
    return behind_pooler(postgres_url)


@pytest.fixture
def pooled_store_url(postgres_store_url: str) -> str:
    """A store behind the pooler, if there is one."""
    return pooled(postgres_store_url)


def behind_pooler(url: str) -> str:
    """The URL of the same database behind the pooler; skips if there is none."""
    if POOLER not in os.environ:
        assert "CI" not in os.environ, f"CI provides a pooler; {POOLER} has to say where"
        pytest.skip(f"no PgBouncer: {POOLER} is not set")
    return pooled(url)


def pooled(url: str) -> str:
    """The same URL through the pooler, if there is one: without it, each transaction of the program
    starts a process of the server, which costs more than most transactions.
    """
    if POOLER not in os.environ:
        return url
    name = make_url(url).database
    return make_url(os.environ[POOLER]).set(database=name).render_as_string(False)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_place(request: pytest.FixtureRequest, home: Home) -> str:
    """STORE_URL of a place without a store, for each kind of database in turn."""
    fixtures = {"postgresql": "postgres_url", "pgbouncer": "pgbouncer_url"}
    return _store_url_of(request, home, fixtures)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, home: Home) -> str:
    """STORE_URL of each kind of database in turn; on PostgreSQL with the tables already created,
    and behind a pooler. Tests of locks, lost connections and crashes also connect directly.
    """
    fixtures = {"postgresql": "pooled_store_url", "pgbouncer": "pgbouncer_url"}
    return _store_url_of(request, home, fixtures)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store of each kind in turn, open for writing."""
    place = store_at(store_url, People())
    with place.locked(), place.opened():
        yield place


@pytest.fixture
def in_each_store(spring: Simulator, store_url: str) -> Simulator:
    """The `spring` of the test's own file, with each kind of database in turn."""
    assert store_url
    return spring


on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""One kind of store is enough where only what is built upon the store's answers is tested."""


def _store_url_of(request: pytest.FixtureRequest, home: Home, fixtures: dict[str, str]) -> str:
    """STORE_URL of the chosen kind of database, which the home's runs will use."""
    fixture = fixtures.get(request.param)
    sqlite = f"sqlite:///{home.data / 'usage.db'}"
    home.settings["STORE_URL"] = request.getfixturevalue(fixture) if fixture else sqlite
    return home.settings["STORE_URL"]
