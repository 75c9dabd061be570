"""Who a user is in GitHub's reports: login, id and teams, from a file or from the address."""

from __future__ import annotations

import csv
import hashlib
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from dashboard_scraper.csv_text import parse
from dashboard_scraper.errors import UsageError

logger = logging.getLogger(__name__)

HEADER = ("email", "login", "id", "team")
LARGEST_ID = 2**31 - 1  # GitHub's are below, and some consumers keep them in 32 bits
_NAMED_AT_MOST = 20


class Person(msgspec.Struct, frozen=True):
    """A user as GitHub's reports name one, with the slugs of the teams."""

    login: str
    id: int
    teams: tuple[str, ...] = ()


Identities = Mapping[str, Person]
"""Persons by their addresses, in lower case."""


def read_identities(path: Path) -> Identities:
    """The persons of an IDENTITY_FILE; several rows of one person give several teams.

    Raises UsageError, with the row, where it cannot be read or contradicts itself.
    """
    try:
        header, *rows = parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"IDENTITY_FILE: {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UsageError(f"IDENTITY_FILE: {path} is no CSV in UTF-8: {error}") from error
    names = tuple(name.strip().lower() for name in header)
    if names not in (HEADER, HEADER[:-1]):
        raise UsageError(f"IDENTITY_FILE: {path}: the header must be {','.join(HEADER)}")
    found: dict[str, Person] = {}
    repeated = []
    for number, row in enumerate(rows, start=2):
        cells = [cell.strip() for cell in row]
        if any(cells):
            where = f"IDENTITY_FILE: {path}, row {number}"
            if len(cells) != len(names):
                raise UsageError(f"{where}: {len(cells)} cells under {len(names)} columns")
            if not _add(where, found, *cells):
                repeated.append(f"{cells[0]} in row {number}")
    _refuse_shared(path, found)
    if repeated:
        logger.warning("IDENTITY_FILE: entries that are there twice: %s", _listed(repeated))
    return found


def _add(
    where: str, found: dict[str, Person], email: str, login: str, number: str, team: str = ""
) -> bool:
    """False where the row says nothing new."""
    if not email or not login:
        raise UsageError(f"{where}: email and login must not be empty")
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= LARGEST_ID):
        raise UsageError(f"{where}: {number!r} is no id; write a number from 1 to {LARGEST_ID}")
    before = found.get(email.lower(), Person(login, int(number)))
    if (before.login, before.id) != (login, int(number)):
        raise UsageError(f"{where}: {email} has another login or id in a row before")
    new = email.lower() not in found or (team and team not in before.teams)
    teams = (*before.teams, team) if team and team not in before.teams else before.teams
    found[email.lower()] = Person(before.login, before.id, teams)
    return bool(new)


def _refuse_shared(path: Path, found: Identities) -> None:
    """One id or login of two persons would make one of them in every consumer."""
    owners: dict[object, str] = {}
    for email, person in found.items():
        for what, value in (("login", person.login.lower()), ("id", person.id)):
            other = owners.setdefault(value, email)
            if other != email:
                raise UsageError(
                    f"IDENTITY_FILE: {path}: {other} and {email} have the same {what} {value}"
                )


def natural_id(name: str) -> int:
    """A positive number below 2**31 that follows from the lower-cased name."""
    digest = hashlib.sha256(name.lower().encode()).digest()
    return int.from_bytes(digest[:8]) % LARGEST_ID + 1


def persons_of(names: Iterable[str], identities: Identities) -> dict[str, Person]:
    """Everybody as the reports name them. Addresses that differ in capitals are one person's.

    Without an entry, the login is the name as it came first, and the id follows from it. Where
    another has the login, or the id, `NAME#2` (`NAME#3` and so on) gives one; whoever comes first
    in `names` keeps it.
    """
    found: dict[str, Person] = {}
    people: dict[str, Person] = {}
    unmatched = []
    logins = {person.login.lower() for person in identities.values()}
    ids = {person.id for person in identities.values()}
    for name in names:
        key = name.lower() if "@" in name else name  # service accounts have any name
        person = people.get(key) or identities.get(name.lower())
        if person is None:
            person = _unlisted(name, logins, ids)
            unmatched.append(name)
        people[key] = found[name] = person
    if identities:
        _tell_unmatched(unmatched, identities, found)
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


def _tell_unmatched(
    unmatched: Collection[str], identities: Identities, found: Mapping[str, Person]
) -> None:
    if unmatched:
        logger.warning(
            "%d users are not in IDENTITY_FILE, and go by their addresses: %s",
            len(unmatched),
            _listed(unmatched),
        )
    unused = identities.keys() - {name.lower() for name in found}
    if unused:
        logger.info(
            "%d entries of IDENTITY_FILE are of nobody in the store: %s",
            len(unused),
            _listed(sorted(unused)),
        )


def _listed(names: Collection[str]) -> str:
    first = ", ".join(list(names)[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{first} and {more} more" if more > 0 else first


def team_id(slug: str) -> int:
    """The numeric id of a team: it follows from the slug."""
    return natural_id(f"team/{slug}")
