"""The table behind the views' column `person`: every name in the store with its person's key."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, func, insert, select, update

from dashboard_scraper.people.people import People
from dashboard_scraper.store.schema import BUDGET, COST_TABLES, DAY_TABLES, PERSON, VERSION_TABLES


def names_in_days(connection: Connection) -> set[str]:
    """Every user name in the store, as a source spelled it."""
    return {
        name
        for table in (*DAY_TABLES, *VERSION_TABLES.values(), *COST_TABLES, BUDGET)
        for name in connection.scalars(select(table.c.user_login).distinct())
        if name  # costs that belong to nobody have none
    }


def add(connection: Connection, names: Iterable[str], people: People) -> None:
    """Store the keys of those names that are new, and number them."""
    known = set(connection.scalars(select(PERSON.c.user_login)))
    new = sorted(set(names) - known)
    if new:
        rows = [
            {"user_login": name, "person": people.key(name), "number": number}
            for number, name in enumerate(new, start=_next_number(connection))
        ]
        connection.execute(insert(PERSON), rows)


def add_numbers(connection: Connection) -> None:
    """Number the names of stores from before names had numbers."""
    names = select(PERSON.c.user_login).where(PERSON.c.number.is_(None))
    unnumbered = sorted(connection.scalars(names))
    rows = [
        {"name": name, "next": number}
        for number, name in enumerate(unnumbered, start=_next_number(connection))
    ]
    if rows:
        changing = update(PERSON).where(PERSON.c.user_login == bindparam("name"))
        connection.execute(changing.values(number=bindparam("next")), rows)


def _next_number(connection: Connection) -> int:
    last = connection.scalar(select(func.max(PERSON.c.number)))
    return 0 if last is None else last + 1


def refresh(connection: Connection, people: People) -> None:
    """Update the stored keys to what IDENTITY_FILE says now."""
    rows = connection.execute(select(PERSON.c.user_login, PERSON.c.person)).all()
    changed = [
        {"name": name, "key": key} for name, noted in rows if (key := people.key(name)) != noted
    ]
    if changed:
        changing = update(PERSON).where(PERSON.c.user_login == bindparam("name"))
        connection.execute(changing.values(person=bindparam("key")), changed)
