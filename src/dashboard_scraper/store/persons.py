"""The table behind the views' column `person`: every name in the store with its person's key."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, insert, select, update

from dashboard_scraper.people.people import People
from dashboard_scraper.store.schema import DAY_TABLES, PERSON, VERSION_TABLES


def names_in_days(connection: Connection) -> set[str]:
    """Every user name in the store, as a source spelled it."""
    return {
        name
        for table in (*DAY_TABLES, *VERSION_TABLES.values())
        for name in connection.scalars(select(table.c.user_login).distinct())
    }


def add(connection: Connection, names: Iterable[str], people: People) -> None:
    """Store the keys of those names that are new."""
    known = set(connection.scalars(select(PERSON.c.user_login)))
    rows = [{"user_login": name, "person": people.key(name)} for name in sorted(set(names) - known)]
    if rows:
        connection.execute(insert(PERSON), rows)


def refresh(connection: Connection, people: People) -> None:
    """Update the stored keys to what IDENTITY_FILE says now."""
    rows = connection.execute(select(PERSON.c.user_login, PERSON.c.person)).all()
    changed = [
        {"name": name, "key": key} for name, noted in rows if (key := people.key(name)) != noted
    ]
    if changed:
        changing = update(PERSON).where(PERSON.c.user_login == bindparam("name"))
        connection.execute(changing.values(person=bindparam("key")), changed)
