"""The tables behind the column `person` of the views: every name in the store with its person's
key.

A name has one number for all sources, which bitmaps use. Its person may differ by source: `ada` is
a login in one and a service account in another (`people.People.of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sqlalchemy import Connection, Table, bindparam, delete, func, select, update

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.people.people import People
from dashboard_scraper.sources.registry import name_kind_of
from dashboard_scraper.store.schema import (
    BUDGET,
    COST_TABLES,
    DAY_TABLES,
    PERSON,
    SEAT,
    SOURCE_PERSON,
    VERSION_TABLES,
)
from dashboard_scraper.store.statements import insertion, source_values

NAMED_TABLES: tuple[Table, ...] = (
    *DAY_TABLES,
    *VERSION_TABLES.values(),
    *COST_TABLES,
    BUDGET,
    SEAT,
)
"""All tables with rows of a user of a source."""

_NONE: Mapping[str, int] = MappingProxyType({})

# Each is built once: see `statements`.
_NAMES = [select(table.c.source, table.c.user_login).distinct() for table in NAMED_TABLES]
_NUMBERS = select(PERSON.c.user_login, PERSON.c.number)
_KNOWN_OF_SOURCE = select(SOURCE_PERSON.c.user_login).where(
    SOURCE_PERSON.c.source == bindparam("source")
)
_LAST_NUMBER = select(func.max(PERSON.c.number))
_KEYS = select(PERSON.c.user_login, PERSON.c.person)
_OWN_KEYS = select(SOURCE_PERSON)


def names_by_source(connection: Connection) -> dict[str, set[str]]:
    """Every user name in the store, in each source's spelling."""
    found: dict[str, set[str]] = {}
    for query in _NAMES:
        for source, name in connection.execute(query):
            if name:  # costs of nobody and records of the tenant have none
                found.setdefault(source, set()).add(name)
    return found


def add(
    connection: Connection,
    source: str,
    names: Iterable[str],
    people: People,
    known: Mapping[str, int] = _NONE,
) -> Mapping[str, int]:
    """Store the keys of the names that are new in the source, and give numbers to new names.

    Returns the number of every name. Pass it as `known` the next time: then the store is asked only
    if a name is missing there. Do not pass what was returned within a transaction that was rolled
    back.
    """
    listed = set(names)
    if not listed <= known.keys():
        known = _numbered(connection, listed, people.of(""))
    if own := _own_names(source, listed):
        _add_own(connection, source, own, people.of(source))
    return known


def _numbered(connection: Connection, names: set[str], people: People) -> Mapping[str, int]:
    """Number the new ones among these names; returns the number of every name."""
    known = numbers(connection)
    added = dict(enumerate(sorted(names - known.keys()), start=_next_number(connection)))
    if added:
        rows = [
            {"user_login": name, "person": people.key(name), "number": number}
            for number, name in added.items()
        ]
        connection.execute(insertion(PERSON), rows)
    return known | {name: number for number, name in added.items()}


def numbers(connection: Connection) -> dict[str, int]:
    """The number of each name."""
    return {row[0]: row[1] for row in connection.execute(_NUMBERS)}


class NameOfNumber(dict[int, str]):
    """The name that each number stands for; StoreFailed for a number without a name."""

    def __init__(self, place: str, number_of: Mapping[str, int]) -> None:
        super().__init__((number, name) for name, number in number_of.items())
        self._place = place

    def __missing__(self, number: int) -> str:
        raise StoreFailed(
            f"{self._place}: somebody with figures has no name any more; restore the store from a"
            " backup, or fetch the days that `status --verify` names again with --refresh"
        )


def _own_names(source: str, names: set[str]) -> set[str]:
    """The names that identify somebody in this source only."""
    if name_kind_of(source) is NameKind.SERVICE_ACCOUNT:
        return set()
    return {name for name in names if not is_address(name)}


def _add_own(connection: Connection, source: str, names: set[str], people: People) -> None:
    known = set(connection.scalars(_KNOWN_OF_SOURCE, source_values(source)))
    rows = [
        {"source": source, "user_login": name, "person": people.key(name)}
        for name in sorted(names - known)
    ]
    if rows:
        connection.execute(insertion(SOURCE_PERSON), rows)


def remove(connection: Connection, gone: Mapping[str, set[str]], left: set[str]) -> None:
    """Remove names of each source; one that is `left` in another source keeps its number."""
    table = SOURCE_PERSON
    for source, names in gone.items():
        of_them = (table.c.source == source) & table.c.user_login.in_(names)
        connection.execute(delete(table).where(of_them))
    everywhere = set().union(*gone.values()) - left
    connection.execute(delete(PERSON).where(PERSON.c.user_login.in_(everywhere)))


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
    last = connection.scalar(_LAST_NUMBER)
    return 0 if last is None else last + 1


def refresh(connection: Connection, people: People) -> None:
    """Update the stored keys to the current IDENTITY_FILE."""
    anywhere = people.of("")
    rows = connection.execute(_KEYS).all()
    changed = [
        {"name": name, "key": key} for name, noted in rows if (key := anywhere.key(name)) != noted
    ]
    if changed:
        changing = update(PERSON).where(PERSON.c.user_login == bindparam("name"))
        connection.execute(changing.values(person=bindparam("key")), changed)
    _refresh_own(connection, people)


def _refresh_own(connection: Connection, people: People) -> None:
    table = SOURCE_PERSON
    of_source: dict[str, People] = {}
    changed = []
    for source, name, noted in connection.execute(_OWN_KEYS).all():
        if source not in of_source:
            of_source[source] = people.of(source)
        if (key := of_source[source].key(name)) != noted:
            changed.append({"of": source, "name": name, "key": key})
    if changed:
        is_row = (table.c.source == bindparam("of")) & (table.c.user_login == bindparam("name"))
        changing = update(table).where(is_row).values(person=bindparam("key"))
        connection.execute(changing, changed)
