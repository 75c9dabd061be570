"""Who a user is in GitHub's reports: login, id and teams, from a file or from the address."""

from __future__ import annotations

import csv
import hashlib
import itertools
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from dashboard_scraper.csv_text import parse
from dashboard_scraper.errors import UsageError
from dashboard_scraper.listing import listed
from dashboard_scraper.pseudonyms import Rename, as_they_are

logger = logging.getLogger(__name__)

HEADER = ("email", "login", "id", "team")
LARGEST_ID = 2**31 - 1  # GitHub's are below, and some consumers keep them in 32 bits
_ID = re.compile(r"[0-9]{1,10}")


class Person(msgspec.Struct, frozen=True):
    """A user as GitHub's reports name one, with the slugs of the teams."""

    login: str
    id: int
    teams: tuple[str, ...] = ()


Identities = Mapping[str, Person]
"""Persons by what `key_of` makes of their addresses, or of the names of service accounts."""


def key_of(name: str) -> str:
    """The same for addresses that differ in capitals; names of service accounts are as they are."""
    return name.lower() if "@" in name else name


def read_identities(path: Path) -> Identities:
    """The persons of an IDENTITY_FILE; several rows of one person give several teams.

    Raises UsageError, with the row, where it cannot be read or contradicts itself.
    """
    header, *rows = _rows_of(path)
    names = tuple(name.strip().lower() for name in header)
    if names not in (HEADER, HEADER[:-1]):
        raise UsageError(f"IDENTITY_FILE: {path}: the header must be {','.join(HEADER)}")
    found: dict[str, Person] = {}
    repeated = []
    owners: dict[object, str] = {}
    for number, row in enumerate(rows, start=2):
        cells = [cell.strip() for cell in row]
        if any(cells):
            where = f"IDENTITY_FILE: {path}, row {number}"
            if len(cells) != len(names):
                raise UsageError(f"{where}: {len(cells)} cells under {len(names)} columns")
            if not _add(where, found, *cells):
                repeated.append(f"{cells[0]} in row {number}")
            _refuse_shared(where, owners, cells[0], found[key_of(cells[0])])
    if repeated:
        logger.warning("IDENTITY_FILE: entries that are there twice: %s", listed(repeated))
    return found


def _rows_of(path: Path) -> list[list[str]]:
    try:
        data = path.read_bytes()
        rows = parse(data)
    except OSError as error:
        raise UsageError(f"IDENTITY_FILE: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise UsageError(f"IDENTITY_FILE: {path}, row {row}: this is no UTF-8") from error
    except csv.Error as error:
        raise UsageError(f"IDENTITY_FILE: {path} is no CSV: {error}") from error
    if not rows:
        raise UsageError(f"IDENTITY_FILE: {path} is empty; write {','.join(HEADER)} and people")
    return rows


def _add(
    where: str, found: dict[str, Person], email: str, login: str, number: str, team: str = ""
) -> bool:
    """False where the row says nothing new."""
    if not email or not login:
        raise UsageError(f"{where}: email and login must not be empty")
    if not _ID.fullmatch(number) or not 0 < int(number) <= LARGEST_ID:
        raise UsageError(
            f"{where}: {number[:20]!r} is no id; write a number from 1 to {LARGEST_ID}"
        )
    key = key_of(email)
    before = found.get(key, Person(login, int(number)))
    if (before.login, before.id) != (login, int(number)):
        raise UsageError(f"{where}: {email} has another login or id in a row before")
    new = key not in found or (team and team not in before.teams)
    teams = (*before.teams, team) if team and team not in before.teams else before.teams
    found[key] = Person(before.login, before.id, teams)
    return bool(new)


def _refuse_shared(where: str, owners: dict[object, str], email: str, person: Person) -> None:
    """One id or login of two persons would make one of them in every consumer."""
    for what, value in (("login", person.login.lower()), ("id", person.id)):
        other = owners.setdefault(value, email)
        if key_of(other) != key_of(email):
            raise UsageError(f"{where}: {other} and {email} have the same {what} {value}")


def natural_id(name: str) -> int:
    """A positive number below 2**31 that follows from the lower-cased name."""
    digest = hashlib.sha256(name.lower().encode()).digest()
    return int.from_bytes(digest[:8]) % LARGEST_ID + 1


def persons_of(
    names: Iterable[str], identities: Identities, rename: Rename = as_they_are
) -> dict[str, Person]:
    """Everybody as the reports name them, by the names that outputs show.

    Addresses that differ in capitals are one person's. Without an entry, the login is the shown
    name as it came first, and the id follows from it. Where another has the login, or the id,
    `NAME#2` (`NAME#3` and so on) gives one; whoever comes first in `names` keeps it.
    """
    found: dict[str, Person] = {}
    people: dict[str, Person] = {}
    unmatched = []
    logins = {person.login.lower() for person in identities.values()}
    ids = {person.id for person in identities.values()}
    for name in names:
        key = key_of(name)
        person = people.get(key) or identities.get(key)
        if person is None:
            person = _unlisted(rename(name), logins, ids)
            unmatched.append(name)
        people[key] = found[rename(name)] = person
    if identities:
        _tell_unmatched(unmatched, identities.keys() - people.keys())
    return found


def _unlisted(name: str, logins: set[str], ids: set[int]) -> Person:
    login = next(tried for tried in _tries(name) if tried.lower() not in logins)
    number = next(number for tried in _tries(name) if (number := natural_id(tried)) not in ids)
    if login != name or number != natural_id(name):
        logger.warning(
            "%s has the login %s and the id %d: another has its own", name, login, number
        )
    logins.add(login.lower())
    ids.add(number)
    return Person(login, number)


def _tries(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}#{attempt}" for attempt in itertools.count(2))


def _tell_unmatched(unmatched: Collection[str], unused: Collection[str]) -> None:
    if unmatched:
        logger.warning(
            "%d users are not in IDENTITY_FILE, and go by their addresses: %s",
            len(unmatched),
            listed(unmatched),
        )
    if unused:
        logger.info(
            "%d entries of IDENTITY_FILE are of nobody in the store: %s",
            len(unused),
            listed(sorted(unused)),
        )


def team_id(slug: str) -> int:
    """The numeric id of a team: it follows from the slug."""
    return natural_id(f"team/{slug}")
