"""Creating the store's tables, and migrating a store of an earlier version."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import (
    Connection,
    Dialect,
    Inspector,
    case,
    create_mock_engine,
    inspect,
    select,
)
from sqlalchemy.schema import CreateColumn, DDLElement

from dashboard_scraper.store.schema import (
    DAY_FETCH,
    DAY_LEDGER,
    INFO,
    SCHEMA_VERSION,
    VERSION,
    VIEWS,
    metadata,
)

_STORED_VERSION = select(INFO.c.value).where(INFO.c.name == SCHEMA_VERSION)


def create(connection: Connection) -> None:
    """Create every table and view."""
    dialect = connection.dialect
    for statement in _creation(f"{dialect.name}+{dialect.driver}://"):
        connection.exec_driver_sql(statement)
    connection.execute(INFO.insert().values(name=SCHEMA_VERSION, value=str(VERSION)))


@cache
def _creation(url: str) -> tuple[str, ...]:
    """The statements of `create`, compiled once: each export as of an earlier moment creates a
    store.
    """
    statements: list[str] = []

    def add(element: DDLElement, *_: object, **__: object) -> None:
        statements.append(str(element.compile(dialect=engine.dialect)))

    engine = create_mock_engine(url, add)
    metadata.create_all(engine, checkfirst=False)
    views = (_creation_of(view, engine.dialect) for view in VIEWS)
    return (*statements, *views)


def migrate(connection: Connection) -> None:
    """Add the tables and columns that an older store lacks, and bring the views up to date."""
    inspector = inspect(connection)
    views = {name: _columns_of(inspector, name) for name in inspector.get_view_names()}
    there = set(inspector.get_table_names())
    columns = {name: _columns_of(inspector, name) for name in there}
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        for column in table.columns:
            if table.name in there and column.name not in columns[table.name]:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
    _fill_new_columns(connection)
    for view in VIEWS:
        _renew(connection, view, views.get(view))
    connection.execute(
        INFO.update().where(INFO.c.name == SCHEMA_VERSION).values(value=str(VERSION))
    )


def _fill_new_columns(connection: Connection) -> None:
    """In stores from before there were versions: each version is in force since its day's fetch."""
    ledger = DAY_LEDGER.c
    connection.execute(
        DAY_LEDGER.update()
        .where(ledger.accepted_at.is_(None))
        .values(
            accepted_at=ledger.fetched_at,
            editor_language_at=case((ledger.editor_language.is_not(None), ledger.fetched_at)),
            credits_at=case((ledger.credits.is_not(None), ledger.fetched_at)),
        )
    )
    days = [ledger.source, ledger.day, ledger.fetched_at, ledger.version]
    recorded = select(DAY_FETCH.c.day).where(
        DAY_FETCH.c.source == ledger.source, DAY_FETCH.c.day == ledger.day
    )
    connection.execute(
        DAY_FETCH.insert().from_select(
            [column.name for column in days], select(*days).where(~recorded.exists())
        )
    )


def version_of(connection: Connection) -> int | None:
    """The store's schema version; None if there is none, which means that this is not a store."""
    if not inspect(connection).has_table(INFO.name):
        return None
    value = connection.scalar(_STORED_VERSION)
    return int(value) if value is not None and value.isdigit() else None


def _columns_of(inspector: Inspector, name: str) -> list[str]:
    """The columns of a table or view, in their order."""
    return [column["name"] for column in inspector.get_columns(name)]


def _renew(connection: Connection, view: str, before: Sequence[str] | None) -> None:
    """Bring a view up to date, or create it; `before` are its columns in an older store.

    PostgreSQL refuses to drop a view that others, such as dbt models, depend on, and dropping it
    would lose its permissions. It can replace a view if the old columns stay in place before the
    new ones.
    """
    query, dialect = VIEWS[view], connection.dialect
    columns = {column.name: column for column in query.selected_columns}
    if before and dialect.name == "postgresql" and columns.keys() >= {*before}:
        ordered = [columns[name] for name in dict.fromkeys([*before, *columns])]
        replaced = query.with_only_columns(*ordered).compile(dialect=dialect)
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {view} AS {replaced}")
    else:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {view}")
        connection.exec_driver_sql(_creation_of(view, dialect))


def _creation_of(view: str, dialect: Dialect) -> str:
    return f"CREATE VIEW {view} AS {VIEWS[view].compile(dialect=dialect)}"
