"""The store's tables and views, generated from the catalogue of metrics.

A store records the version of its schema. The version grows with every change here and with every
metric added to the catalogue. Migration only adds tables and columns: in existing rows a new column
is NULL, which means unknown, as is true.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    case,
    create_mock_engine,
    false,
    inspect,
    select,
)
from sqlalchemy.schema import CreateColumn, DDLElement
from sqlalchemy.types import TypeDecorator

from dashboard_scraper.model.dates import EARLIEST, iso_utc
from dashboard_scraper.model.metrics import COUNTS, DETAILED, METRICS, TOTALS, Kind

VERSION = 5


class Moment(TypeDecorator[datetime]):
    """A UTC timestamp: `timestamptz`, or in SQLite, which has no such type, ISO 8601 with a Z."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return iso_utc(value) if value is not None and dialect.name == "sqlite" else value

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """A plain function, faster than `process_result_value`: every row has two timestamps."""
        return _READERS.get(dialect.name, _in_utc)


class Seen(Moment):
    """When a user was first or last seen; None where that is before EARLIEST.

    Such a timestamp is the zero of some clock. It is no longer stored, but older versions did.
    """

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """As for other timestamps; ISO 8601 dates sort as text."""
        if dialect.name == "sqlite":
            return lambda value: None if value is None or value < _EARLIEST else _of_text(value)
        if dialect.name == "duckdb":
            return lambda value: _since_earliest(_as_utc(value))
        return lambda value: None if value is None or value < EARLIEST else _in_utc(value)


_EARLIEST = EARLIEST.date().isoformat()  # a longer text that begins with it sorts after it


def _of_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def _as_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def _since_earliest(value: datetime | None) -> datetime | None:
    return None if value is None or value < EARLIEST else value


_READERS = {"sqlite": _of_text, "duckdb": _as_utc}


# Sorted as in Python, whatever the database's collation: the same users give the same output bytes.
_NAME = Text().with_variant(Text(collation="C"), "postgresql")
_FIGURE_TYPES: dict[Kind, Any] = {
    Kind.COUNT: BigInteger,
    Kind.DAYS: BigInteger,
    Kind.PERCENT: Double,
    Kind.MOMENT: Seen,
}

metadata = MetaData()

INFO = Table(
    "store_info",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
SCHEMA_VERSION = "schema_version"
LAST_SUCCESS = "last_success"  # followed by a colon and the source
FORGETS = "forgets"  # how often somebody was removed

_SOURCE = "Where the figures come from: `dashboard` or `analytics`"
_USER = "The user's address, or the name of a service account, as the source wrote it"
_PERSON = (
    "What is the same for all spellings of the address, and for all addresses that IDENTITY_FILE"
    " gave to one login when a run last wrote"
)
_EXTRA = "JSON: the fields that the catalogue does not know, flattened"
_UNRECONCILED = "JSON: where the users' sums and the tenant's own figures disagree, with both"
_FORGOTTEN = "Users that were removed since"
_FETCHED_AT = "When the fetch began"
_SERVICE = "Whether it is a service account; the dashboard has only people"
_VERSION_NUMBER = "Counts the different answers that were ever stored for the day"
_DETAIL = "`complete`, `unreconciled`: they do not add up to the users' figures; NULL: not fetched"


def _day_key() -> tuple[Column[Any], ...]:
    return (
        Column("source", Text, primary_key=True, comment=_SOURCE),
        Column("day", Date, primary_key=True, comment="The UTC day"),
    )


def _user_key() -> Column[Any]:
    return Column("user_login", _NAME, primary_key=True, comment=_USER)


USER_DAY = Table(
    "user_day",
    metadata,
    *_day_key(),
    _user_key(),
    *(Column(m.name, _FIGURE_TYPES[m.kind], comment=m.definition) for m in METRICS),
    Column("extra", Text, comment=_EXTRA),
    Column("service_account", Boolean, nullable=False, server_default=false(), comment=_SERVICE),
    sqlite_with_rowid=False,  # clustered by the key: a day's rows are on adjacent pages
)
FIGURE_COLUMNS = tuple(USER_DAY.c[metric.name] for metric in METRICS)

DAY_LEDGER = Table(
    "day_ledger",
    metadata,
    *_day_key(),
    Column("status", Text, nullable=False, comment="`complete`, or `empty`: nobody was active"),
    Column("fetched_at", Moment, nullable=False, comment=_FETCHED_AT),
    Column("users", Integer, nullable=False, comment="Users as the source listed them"),
    Column("active_users", Integer, nullable=False, comment="Those of them with any activity"),
    *(Column(m.name, BigInteger, comment=f"Sum of all users: {m.definition}") for m in COUNTS),
    *(
        Column(t.column, BigInteger, comment=f"As the source sums it: {t.definition}")
        for t in TOTALS
    ),
    Column("unreconciled", Text, comment=_UNRECONCILED),
    Column("forgotten", Integer, nullable=False, server_default="0", comment=_FORGOTTEN),
    Column("editor_language", Text, comment=f"Rows of `editor_language_days`: {_DETAIL}"),
    Column("credits", Text, comment="Rows of `credit_days`: `complete`; NULL: not fetched"),
    Column("editor_language_at", Moment, comment="When `editor_language_days` was stored"),
    Column("credits_at", Moment, comment="When `credit_days` was stored"),
    Column("version", Integer, nullable=False, server_default="1", comment=_VERSION_NUMBER),
    Column("accepted_at", Moment, comment="Since when these figures are in force"),
    Column("digest", Text, comment="Of the users' counts: equal where all of these are"),
    Column(
        "repeats",
        Integer,
        nullable=False,
        server_default="0",
        comment="Later days on which the source gave the same answer",
    ),
    Column("suspicious", Text, comment="Why the figures are in doubt, in words"),
    Column("held", Text, comment="What a newer version would change, which is not in force"),
)
SUM_COLUMNS = tuple(DAY_LEDGER.c[metric.name] for metric in COUNTS)
TOTAL_COLUMNS = {total.name: DAY_LEDGER.c[total.column] for total in TOTALS}

EDITOR_LANGUAGE_DAY = Table(
    "editor_language_day",
    metadata,
    *_day_key(),
    _user_key(),
    Column("editor", _NAME, primary_key=True, comment="As the source spells it, such as `VSCode`"),
    Column("language", _NAME, primary_key=True, comment="As the source spells it, `Python`"),
    *(Column(m.name, BigInteger, comment=m.definition) for m in DETAILED),
    sqlite_with_rowid=False,
)
DETAILED_COLUMNS = tuple(EDITOR_LANGUAGE_DAY.c[metric.name] for metric in DETAILED)

CREDIT_DAY = Table(
    "credit_day",
    metadata,
    *_day_key(),
    _user_key(),
    Column("credits_consumed", Double, nullable=False, comment="Credits; a fraction is allowed"),
    sqlite_with_rowid=False,
)
# Which names are one person: not stored in the rows of days, since IDENTITY_FILE may change.
PERSON = Table(
    "person",
    metadata,
    Column("user_login", _NAME, primary_key=True, comment=_USER),
    Column("person", _NAME, nullable=False, comment=_PERSON),
    Column("number", Integer, comment="Its bit in the bitmaps of `day_people`; never changes"),
)

# Bitmaps of the people of a day in force, by their numbers. NULL: not computed yet.
DAY_PEOPLE = Table(
    "day_people",
    metadata,
    *_day_key(),
    Column("listed", LargeBinary, comment="Everybody with a row"),
    Column("service", LargeBinary, comment="Those of them that are service accounts"),
    Column("active", LargeBinary, comment="Those of them with any activity"),
    *(Column(m.name, LargeBinary, comment=f"Those with more than 0: {m.title}") for m in COUNTS),
)

# The rows of a day, which are replaced and archived together; the users' own come first.
DAY_TABLES = (USER_DAY, EDITOR_LANGUAGE_DAY, CREDIT_DAY)


def _version_key() -> Column[Any]:
    return Column("version", Integer, primary_key=True)


# The ledger's rows of versions that are not in force: superseded, held, rejected or withdrawn.
DAY_VERSION = Table(
    "day_version",
    metadata,
    *_day_key(),
    _version_key(),
    *(
        Column(c.name, c.type, nullable=c.nullable, server_default=c.server_default)
        for c in DAY_LEDGER.c
        if not c.primary_key and c.name != "version"
    ),
    Column("state", Text, nullable=False, comment="A VersionState"),
    Column("base", Integer, nullable=False, comment="The version that its rows differ from"),
    Column("state_since", Moment, nullable=False),
    Column("movement", Text, comment="JSON: a Movement, of a version that was never in force"),
)


def _version_of(table: Table) -> Table:
    """A table for the rows by which a version of a day differs from its `base`: the version's own
    row, or one marked `gone` where only the base has it.
    """
    keys = [c for c in table.c if c.primary_key]
    return Table(
        f"{table.name}_version",
        metadata,
        *(Column(c.name, c.type, primary_key=True) for c in keys[:2]),
        _version_key(),
        *(Column(c.name, c.type, primary_key=True) for c in keys[2:]),
        *(Column(c.name, c.type) for c in table.c if not c.primary_key),
        Column("gone", Boolean, nullable=False, server_default=false()),
        sqlite_with_rowid=False,
    )


VERSION_TABLES = {table: _version_of(table) for table in DAY_TABLES}

# Every fetch, with the version that it found: a version's age is that of its first fetch, its
# freshness that of its newest.
DAY_FETCH = Table(
    "day_fetch",
    metadata,
    *_day_key(),
    Column("fetched_at", Moment, primary_key=True),
    Column("version", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# The history of the ledger's marks of a day, for `as_of`: each row is valid from `marked_at` on.
DAY_MARK = Table(
    "day_mark",
    metadata,
    *_day_key(),
    Column("marked_at", Moment, primary_key=True),
    Column("held", Text),
    Column("suspicious", Text),
    sqlite_with_rowid=False,
)

TENANT_FIGURE = Table(
    "tenant_figure",
    metadata,
    Column("source", Text, primary_key=True, comment=_SOURCE),
    Column("start_day", Date, primary_key=True, comment="First day of the period"),
    Column("end_day", Date, primary_key=True, comment="Last day of the period"),
    Column("metric", Text, primary_key=True, comment="The source's name of the figure"),
    Column("value", Text, comment="JSON"),
    Column("fetched_at", Moment, nullable=False, comment=_FETCHED_AT),
)


def _with_person(table: Table) -> Select[Any]:
    joined = table.outerjoin(PERSON, PERSON.c.user_login == table.c.user_login)
    return select(*table.c, PERSON.c.person).select_from(joined)


# The public interface for SQL: these names and columns stay, however the tables change.
VIEWS: dict[str, Select[Any]] = {
    "user_days": _with_person(USER_DAY),
    "daily_totals": select(*DAY_LEDGER.c),
    "editor_language_days": _with_person(EDITOR_LANGUAGE_DAY),
    "credit_days": _with_person(CREDIT_DAY),
}


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
    value = connection.scalar(select(INFO.c.value).where(INFO.c.name == SCHEMA_VERSION))
    return int(value) if value is not None and value.isdigit() else None


def _creation_of(view: str, dialect: Dialect) -> str:
    return f"CREATE VIEW {view} AS {VIEWS[view].compile(dialect=dialect)}"
