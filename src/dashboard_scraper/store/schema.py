"""The store's tables and views, generated from the catalogue of metrics.

A store records the version of its schema. The version grows with every change here and with every
metric added to the catalogue. Migration only adds tables and columns: in existing rows a new column
is NULL, which rightly means unknown.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    false,
    func,
    select,
)

from dashboard_scraper.model.costs import COST_METRICS, CostKind
from dashboard_scraper.model.metrics import COUNTS, DETAILED, METRICS, TOTALS, Kind
from dashboard_scraper.store.column_types import Amount, Moment, Seen

VERSION = 9


# Sorted as in Python, whatever the database's collation, so that the same users give the same
# bytes.
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
SEATS = "seats"  # followed by a colon and the source: when they were fetched
FORGETS = "forgets"  # a number that grows when somebody is removed

_SOURCE = "Where the figures come from: a name of METRICS_SOURCE"
_USER = "The user's address, or the name of a service account, as the source wrote it"
_PERSON = (
    "One value for all names of a person in all sources: spellings of the address, and all"
    " addresses and ids that IDENTITY_FILE gave to one login when a run last wrote to the store"
)
_EXTRA = "JSON: the fields that the catalogue does not know, flattened"
_UNRECONCILED = "JSON: where the users' sums and the tenant's own figures disagree, with both"
_FORGOTTEN = "Users that were removed since"
_FORGOTTEN_COSTS = "Rows of users who were removed since: the sums are without them"
_FETCHED_AT = "When the fetch began"
_SERVICE = "Whether it is a service account; the dashboard has only people"
_VERSION_NUMBER = "Counts the different answers that were ever stored for the day"
_DETAIL = (
    "`complete`; `unreconciled`, if they do not add up to the users' figures; NULL: not fetched"
)


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
        Column(t.column, BigInteger, comment=f"The source's own total: {t.definition}")
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
    Column("digest", Text, comment="Digest of the users' counts: equal if all counts are"),
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
    Column(
        "language", _NAME, primary_key=True, comment="As the source spells it, such as `Python`"
    ),
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
# The records as a source sent them, so that fields unknown to the catalogue are not lost.
RECORD_DAY = Table(
    "record_day",
    metadata,
    *_day_key(),
    Column("user_login", _NAME, primary_key=True, comment=f"{_USER}; empty: the tenant's record"),
    Column("record", Text, nullable=False, comment="JSON, as the source sent it"),
    sqlite_with_rowid=False,
)
# Which names are one person. Not stored in the rows of days, since IDENTITY_FILE may change.
PERSON = Table(
    "person",
    metadata,
    Column("user_login", _NAME, primary_key=True, comment=_USER),
    Column("person", _NAME, nullable=False, comment=_PERSON),
    Column("number", Integer, comment="Its bit in the bitmaps of `day_people`; never changes"),
)

# The people behind names that identify somebody in one source only, such as logins and ids.
SOURCE_PERSON = Table(
    "source_person",
    metadata,
    Column("source", Text, primary_key=True, comment=_SOURCE),
    _user_key(),
    Column("person", _NAME, nullable=False, comment=_PERSON),
)

# Bitmaps of the people of a day's version in force, by their numbers. NULL: not computed yet.
DAY_PEOPLE = Table(
    "day_people",
    metadata,
    *_day_key(),
    Column("listed", LargeBinary, comment="Everybody with a row"),
    Column("service", LargeBinary, comment="Those of them that are service accounts"),
    Column("active", LargeBinary, comment="Those of them with any activity"),
    *(Column(m.name, LargeBinary, comment=f"Those with more than 0: {m.title}") for m in COUNTS),
)

# The rows of one answer of the source, and details that are fetched later for the version in force.
ANSWER_TABLES = (USER_DAY, RECORD_DAY)
DETAIL_TABLES = (EDITOR_LANGUAGE_DAY, CREDIT_DAY)
# The rows of a day, which are replaced and archived together.
DAY_TABLES = (*ANSWER_TABLES, *DETAIL_TABLES)


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
    """A table for the rows that differ between a version of a day and its `base`: the version's own
    row, or one marked `gone` if only the base has the row.
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

# Every fetch, with the version that it found: a version's age is counted from its first fetch, and
# its freshness from its newest.
DAY_FETCH = Table(
    "day_fetch",
    metadata,
    *_day_key(),
    Column("fetched_at", Moment, primary_key=True),
    Column("version", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# The history of a day's marks in the ledger, for `as_of`: each row is valid from `marked_at` on.
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

# Costs have their own ledger: they are fetched, settled and revised separately from the counts.
_COST_TYPES: dict[CostKind, Any] = {
    CostKind.TOKENS: BigInteger,
    CostKind.MONEY: Amount,
    CostKind.CREDITS: Amount,
}
_PAYER = f"{_USER}; empty if the source names nobody"

COST_DAY = Table(
    "cost_day",
    metadata,
    *_day_key(),
    Column("user_login", _NAME, primary_key=True, comment=_PAYER),
    Column("resource_type", _NAME, primary_key=True, comment="The source's word, such as `MODEL`"),
    Column("resource", _NAME, primary_key=True, comment="The source's name of the resource"),
    Column("account", Text, nullable=False, comment="`person`, `service_account`, `unattributed`"),
    Column("currency", Text, nullable=False, comment="Currency of the amounts (ISO 4217)"),
    *(Column(m.name, _COST_TYPES[m.kind], comment=m.definition) for m in COST_METRICS),
    sqlite_with_rowid=False,
)


def _cost_ledger_columns() -> tuple[Column[Any], ...]:
    return (
        Column("fetched_at", Moment, nullable=False, comment=_FETCHED_AT),
        Column("currency", Text, nullable=False, comment="Currency of the amounts (ISO 4217)"),
        *(
            Column(m.name, _COST_TYPES[m.kind], comment=f"Sum of all rows: {m.definition}")
            for m in COST_METRICS
        ),
        *(
            Column(
                f"source_{m.name}",
                _COST_TYPES[m.kind],
                comment=f"The source's own total: {m.definition}",
            )
            for m in COST_METRICS
        ),
        Column("unreconciled", Text, comment=_UNRECONCILED),
        Column("forgotten", Integer, nullable=False, server_default="0", comment=_FORGOTTEN_COSTS),
        Column("accepted_at", Moment, nullable=False, comment="Since when this is in force"),
    )


COST_LEDGER = Table(
    "cost_ledger",
    metadata,
    *_day_key(),
    *_cost_ledger_columns(),
    Column("version", Integer, nullable=False, comment=_VERSION_NUMBER),
)
COST_SUM_COLUMNS = tuple(COST_LEDGER.c[metric.name] for metric in COST_METRICS)
COST_TOTAL_COLUMNS = tuple(COST_LEDGER.c[f"source_{metric.name}"] for metric in COST_METRICS)

# Superseded versions: their ledger rows, and the rows that differ from the next version.
COST_VERSION = Table("cost_version", metadata, *_day_key(), _version_key(), *_cost_ledger_columns())
COST_DAY_VERSION = _version_of(COST_DAY)
COST_TABLES = (COST_DAY, COST_DAY_VERSION)

BUDGET = Table(
    "budget",
    metadata,
    Column("source", Text, primary_key=True, comment=_SOURCE),
    _user_key(),
    Column("kind", Text, primary_key=True, comment="`money` (in USD) or `credits`"),
    Column("monthly_limit", Amount, nullable=False, comment="Limit for a calendar month in UTC"),
    Column("fetched_at", Moment, nullable=False, comment=_FETCHED_AT),
)

# Who may use the assistant. Seats that were lost stay, with the last answer that had them.
SEAT = Table(
    "seat",
    metadata,
    Column("source", Text, primary_key=True, comment=_SOURCE),
    _user_key(),
    Column("plan", Text, comment="The source's word for the plan or role"),
    Column("assigned_on", Date, comment="When the seat was assigned"),
    Column("last_active", Moment, comment="Last activity, according to the list of seats"),
    Column("ends_on", Date, comment="When the seat is going to end"),
    Column("first_fetched_at", Moment, nullable=False, comment="The first answer that had it"),
    Column("fetched_at", Moment, nullable=False, comment="The newest answer that had it"),
    Column("current", Boolean, nullable=False, comment="Whether the source's newest answer has it"),
)

# What each run did, for a source.
RUN = Table(
    "run",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False, comment="Counts the runs"),
    Column("source", Text, nullable=False, comment=_SOURCE),
    Column("command", Text, nullable=False, comment="Such as `last-28-days` or `backfill`"),
    Column("started_at", Moment, nullable=False, comment="When it opened the store"),
    Column("ended_at", Moment, comment="NULL: it is still running, or was killed"),
    Column("exit_code", Integer, comment="As `docs/troubleshooting.md` lists them"),
    Column("days_fetched", Integer, comment="Days whose figures were fetched and stored"),
    Column("days_revised", Integer, comment="Those of them that replaced other figures"),
    Column("days_failed", Integer, comment="Days that should have been fetched, and were not"),
    Column("requests", Integer, comment="Requests to the source, including retries"),
    Column("version", Text, nullable=False, comment="The program's version"),
)

# What somebody was notified of, and for how long it held.
NOTICE = Table(
    "notice",
    metadata,
    Column("source", Text, primary_key=True, comment=f"{_SOURCE}; empty: all of them"),
    Column("occasion", Text, primary_key=True, comment="Why, in one word"),
    Column("since", Moment, primary_key=True, comment="When it was first found"),
    Column("message", Text, nullable=False, comment="What was sent; it names no people"),
    Column("notified_at", Moment, comment="When it was last sent; NULL: it could not be sent"),
    Column("ended_at", Moment, comment="When it was found to be over; NULL: it still lasts"),
    Column("details", Text, nullable=False, comment="JSON: such as the days and the exit code"),
)


def _with_person(table: Table) -> Select[Any]:
    own, anywhere = SOURCE_PERSON.c, PERSON.c
    joined = table.outerjoin(PERSON, anywhere.user_login == table.c.user_login).outerjoin(
        SOURCE_PERSON,
        (own.source == table.c.source) & (own.user_login == table.c.user_login),
    )
    person = func.coalesce(own.person, anywhere.person).label(anywhere.person.name)
    return select(*table.c, person).select_from(joined)


# The public interface for SQL: these names and columns stay, however the tables change.
VIEWS: dict[str, Select[Any]] = {
    "user_days": _with_person(USER_DAY),
    "daily_totals": select(*DAY_LEDGER.c),
    "editor_language_days": _with_person(EDITOR_LANGUAGE_DAY),
    "credit_days": _with_person(CREDIT_DAY),
    "cost_days": _with_person(COST_DAY),
    "cost_totals": select(*COST_LEDGER.c),
    "user_budgets": _with_person(BUDGET),
    "seats": _with_person(SEAT),
    "records": select(*RECORD_DAY.c),
    "runs": select(*RUN.c),
    "notices": select(*NOTICE.c),
}
