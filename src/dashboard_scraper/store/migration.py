"""Creating the store's tables, and migrating a store of an earlier version."""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    Connection,
    Dialect,
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
    """The statements of `create`, compiled once: an export of an earlier moment creates a store."""
    statements: list[str] = []

    def add(element: DDLElement, *_: object, **__: object) -> None:
        statements.append(str(element.compile(dialect=engine.dialect)))

    engine = create_mock_engine(url, add)
    metadata.create_all(engine, checkfirst=False)
    views = (_creation_of(view, engine.dialect) for view in VIEWS)
    return (*statements, *views)


def migrate(connection: Connection) -> None:
    """Add the tables and columns that an older store lacks, and recreate the views."""
    for view in VIEWS:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {view}")
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    columns = {name: {c["name"] for c in inspector.get_columns(name)} for name in there}
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        for column in table.columns:
            if table.name in there and column.name not in columns[table.name]:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
    _fill_new_columns(connection)
    for view in VIEWS:
        connection.exec_driver_sql(_creation_of(view, connection.dialect))
    connection.execute(
        INFO.update().where(INFO.c.name == SCHEMA_VERSION).values(value=str(VERSION))
    )


def _fill_new_columns(connection: Connection) -> None:
    """Give days of stores from before versions a version in force since the day was fetched."""
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
    """The schema version of the store; None where there is none, so that it isn't a store."""
    if not inspect(connection).has_table(INFO.name):
        return None
    value = connection.scalar(_STORED_VERSION)
    return int(value) if value is not None and value.isdigit() else None


def _creation_of(view: str, dialect: Dialect) -> str:
    return f"CREATE VIEW {view} AS {VIEWS[view].compile(dialect=dialect)}"
