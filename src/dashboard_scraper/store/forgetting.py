"""Removing a person from the store, under every spelling and address."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    case,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from dashboard_scraper.clock import utc_now
from dashboard_scraper.model.figures import counts_of, of_counts
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.people import People
from dashboard_scraper.people.pseudonyms import hidden
from dashboard_scraper.store import day_people, history, persons
from dashboard_scraper.store.cost_days import remove_costs
from dashboard_scraper.store.empty_days import usage_sums
from dashboard_scraper.store.persons import names_by_source
from dashboard_scraper.store.rows import LedgerDay, less, sum_columns
from dashboard_scraper.store.schema import (
    DAY_LEDGER,
    DAY_TABLES,
    DAY_VERSION,
    FORGETS,
    INFO,
    PERSON,
    RECORD_DAY,
    SEAT,
    SUM_COLUMNS,
    TENANT_FIGURE,
    USER_DAY,
    VERSION_TABLES,
)

FORGOTTEN = "forgotten"
"""Replaces the person's address in unknown fields of other users."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_AT = ("@", r"\u0040", "%40")
"""How JSON may spell the @ of an address, also in a URL."""

_Change = Callable[[str], str]


def remove_person(connection: Connection, people: People, user: str) -> int:
    """Remove a person from all tables and versions; returns the number of deleted rows.

    `people` are those of the source that spells the name like this. Afterwards, the ledger has the
    sums of the remaining users for each day and version, and the number of removed ones. Versions
    remain differences from their base: the rows are removed from both.
    """
    person = people.key(user)
    # In Python: a database's lower() may handle ASCII letters only.
    known = names_by_source(connection)
    gone = {source: people.of(source).names_in(known[source], person) for source in known}
    removed = sum(_remove_names(connection, source, gone[source]) for source in gone)
    without_rows = set(connection.scalars(select(PERSON.c.user_login)))
    gone[""] = people.of("").names_in(without_rows.difference(*known.values()), person)
    persons.remove(connection, gone, set().union(*(known[each] - gone[each] for each in known)))
    _remove_mentions(connection, people, person)
    _note_forget(connection)
    return removed


def _remove_names(connection: Connection, source: str, names: set[str]) -> int:
    """Remove these names' rows of one source; returns how many."""
    if not names:
        return 0
    lost = _users_in_versions(connection, source, names)
    removed = sum(
        connection.execute(
            delete(table).where(table.c.source == source, table.c.user_login.in_(names))
        ).rowcount
        for table in (*DAY_TABLES, *VERSION_TABLES.values(), SEAT)
    )
    for ledger, users in lost:
        _recount(connection, ledger, users)
    removed += remove_costs(connection, source, names)
    day_people.remove(connection, source, names)
    return removed


def _note_forget(connection: Connection) -> None:
    """Record the removal for the whole store: mentions may be gone from days of other users.

    As a moment, since a count would recur if a backup is restored in between.
    """
    before = connection.scalar(select(INFO.c.value).where(INFO.c.name == FORGETS))
    number = max(int(before or 0) + 1, int(utc_now().timestamp() * 1_000_000))
    connection.execute(delete(INFO).where(INFO.c.name == FORGETS))
    connection.execute(insert(INFO).values(name=FORGETS, value=f"{number}"))


def _users_in_versions(
    connection: Connection, source: str, names: set[str]
) -> list[tuple[LedgerDay, list[UserUsage]]]:
    """Every version in which one of the names has a row, with those rows."""
    days: set[date] = set()
    for table in (USER_DAY, VERSION_TABLES[USER_DAY]):
        is_theirs = (table.c.source == source) & table.c.user_login.in_(names)
        days.update(connection.scalars(select(table.c.day).where(is_theirs).distinct()))
    return [
        (version.ledger, users)
        for day in sorted(days)
        for version in history.versions(connection, source, day)
        if (users := history.users_of(connection, version.ledger, names))
    ]


def _recount(connection: Connection, ledger: LedgerDay, lost: list[UserUsage]) -> None:
    for table in (DAY_LEDGER, DAY_VERSION):
        of_version = (
            (table.c.source == ledger.source)
            & (table.c.day == ledger.day)
            & (table.c.version == ledger.version)
        )
        values = less(ledger, lost)
        # The sum may have been unknown only because of the user who was removed.
        if table is DAY_LEDGER and None in counts_of(ledger.sums):
            values |= _sums(connection, ledger)
        connection.execute(update(table).where(of_version).values(values))


def _sums(connection: Connection, ledger: LedgerDay) -> dict[str, Any]:
    """The sums of the rows in force; NULL if any of the values is NULL."""
    if not _has_rows(connection, ledger):
        return sum_columns(usage_sums(ledger.source, ()))
    rows = func.count()
    sums = [
        cast(case((func.count(c) == rows, func.coalesce(func.sum(c), 0))), BigInteger)
        for c in (USER_DAY.c[column.name] for column in SUM_COLUMNS)
    ]
    row = connection.execute(select(*sums).where(_is_of(ledger))).one()
    return sum_columns(of_counts(row))


def _has_rows(connection: Connection, ledger: LedgerDay) -> bool:
    query = select(USER_DAY.c.day).where(_is_of(ledger)).limit(1)
    return connection.execute(query).first() is not None


def _is_of(ledger: LedgerDay) -> ColumnElement[bool]:
    return (USER_DAY.c.source == ledger.source) & (USER_DAY.c.day == ledger.day)


def _remove_mentions(connection: Connection, people: People, person: str) -> None:
    """Replace the person's addresses in unknown fields of other users and of the tenant."""

    def without(text: str) -> str:
        return hidden(text, lambda found: FORGOTTEN if people.key(found) == person else found)

    def without_in_json(text: str) -> str:
        return _STRING.sub(lambda match: _changed(match[0], without), text)

    for mentioning in (USER_DAY.c.extra, RECORD_DAY.c.record):
        for table in (mentioning.table, VERSION_TABLES[mentioning.table]):
            text = table.c[mentioning.name]
            key = list(table.primary_key.columns)
            has_addresses = or_(*(text.contains(at, autoescape=True) for at in _AT))
            query = select(text, *key).where(has_addresses)
            for found, *place in connection.execute(query).all():
                if (changed := without_in_json(found)) != found:
                    is_row = [column == value for column, value in zip(key, place, strict=True)]
                    changing = update(table).where(*is_row).values({text.name: changed})
                    connection.execute(changing)
    _remove_tenant_mentions(connection, without, without_in_json)


def _changed(literal: str, change: _Change) -> str:
    """A JSON string with its text changed; as it was written if nothing changes."""
    if not any(at in literal for at in _AT):
        return literal
    try:
        text = msgspec.json.decode(literal, type=str)
    except msgspec.DecodeError:  # half of a surrogate pair, in a field that nobody reads
        return change(literal)
    changed = change(text)
    return literal if changed == text else msgspec.json.encode(changed).decode()


def _remove_tenant_mentions(
    connection: Connection, without: _Change, without_in_json: _Change
) -> None:
    table = TENANT_FIGURE
    for row in connection.execute(select(table)).mappings().all():
        of_row = table.primary_key.columns
        is_row = [column == row[column] for column in of_row]
        metric, value = row[table.c.metric], row[table.c.value] or ""
        if without(metric) != metric:
            connection.execute(delete(table).where(*is_row))
        elif (changed := without_in_json(value)) != value:
            connection.execute(update(table).where(*is_row).values(value=changed))
