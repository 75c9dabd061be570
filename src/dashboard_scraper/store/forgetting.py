"""Removing one person from the store, under every spelling and address."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, delete, select, update

from dashboard_scraper.metrics import is_active
from dashboard_scraper.people import People
from dashboard_scraper.pseudonyms import hidden
from dashboard_scraper.store.persons import names_in_days
from dashboard_scraper.store.rows import recounted
from dashboard_scraper.store.schema import (
    DAY_LEDGER,
    DAY_TABLES,
    FIGURE_COLUMNS,
    PERSON,
    TENANT_FIGURE,
    USER_DAY,
)

FORGOTTEN = "forgotten"
"""Stands in unknown fields of others where they named the person."""


def remove_person(connection: Connection, people: People, user: str) -> int:
    """Remove a person from all tables; returns how many rows of days there were.

    The ledger says for each day how many rows it lost, and has the sums of those that are left.
    """
    # In Python: the databases' own lower() may know the letters of ASCII alone.
    known = names_in_days(connection).union(connection.scalars(select(PERSON.c.user_login)))
    person = people.key(user)
    names = [name for name in known if people.key(name) == person]
    is_theirs = USER_DAY.c.user_login.in_(names)
    rows = connection.execute(
        select(USER_DAY.c.source, USER_DAY.c.day, *FIGURE_COLUMNS).where(is_theirs)
    ).all()
    removed = sum(
        connection.execute(delete(table).where(table.c.user_login.in_(names))).rowcount
        for table in DAY_TABLES
    )
    lost: dict[tuple[str, date], list[bool]] = {}
    for source, day, *figures in rows:
        lost.setdefault((source, day), []).append(is_active(tuple(figures)))
    for (source, day), active in lost.items():
        of_day = (DAY_LEDGER.c.source == source) & (DAY_LEDGER.c.day == day)
        left = recounted(connection, source, day, active)
        connection.execute(update(DAY_LEDGER).where(of_day).values(left))
    connection.execute(delete(PERSON).where(PERSON.c.user_login.in_(names)))
    _remove_mentions(connection, people, person)
    return removed


def _remove_mentions(connection: Connection, people: People, person: str) -> None:
    """Fields that the catalogue does not know, of others and of the tenant, may name the person."""

    def without(text: str) -> str:
        return hidden(text, lambda found: FORGOTTEN if people.key(found) == person else found)

    key = (USER_DAY.c.source, USER_DAY.c.day, USER_DAY.c.user_login)
    query = select(*key, USER_DAY.c.extra).where(USER_DAY.c.extra.contains("@"))
    for source, day, name, extra in connection.execute(query).all():
        if (changed := without(extra)) != extra:
            of_user = (key[0] == source) & (key[1] == day) & (key[2] == name)
            connection.execute(update(USER_DAY).where(of_user).values(extra=changed))
    _remove_tenant_mentions(connection, without)


def _remove_tenant_mentions(connection: Connection, without: Any) -> None:
    table = TENANT_FIGURE
    for row in connection.execute(select(table)).mappings().all():
        of_row = table.primary_key.columns
        is_row = [column == row[column] for column in of_row]
        metric, value = row[table.c.metric], row[table.c.value] or ""
        if without(metric) != metric:
            connection.execute(delete(table).where(*is_row))
        elif without(value) != value:
            connection.execute(update(table).where(*is_row).values(value=without(value)))
