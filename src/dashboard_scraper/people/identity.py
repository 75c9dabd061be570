"""The identity of users in GitHub's reports: login, id and teams, from a file or the address."""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.people.people import People, person_key
from dashboard_scraper.people.people_file import numbered_rows, read_rows
from dashboard_scraper.people.pseudonyms import Rename, as_they_are
from dashboard_scraper.sources.registry import SOURCES, name_kind_of

logger = logging.getLogger(__name__)

HEADER = ("email", "login", "id", "team")
LARGEST_ID = 2**31 - 1  # GitHub's ids are smaller, and some consumers store them in 32 bits
_NAME = "IDENTITY_FILE"
_ID = re.compile(r"[0-9]{1,10}")


class Person(msgspec.Struct, frozen=True):
    """A user as GitHub's reports name them, with the slugs of their teams, and their ids in other
    sources, each after the source's name.
    """

    login: str
    id: int
    teams: tuple[str, ...] = ()
    source_ids: tuple[tuple[str, str], ...] = ()


Identities = Mapping[str, Person]
"""Persons by the keys (`people.person_key`) of their addresses, in the order of the file."""

Persons = Mapping[str, Person]
"""Everybody ever stored, by the name in the store."""

_Owners = dict[object, tuple[str, Person]]
"""For each login and id, the first address and person that had it."""


def read_identities(path: Path) -> Identities:
    """Read the persons of an IDENTITY_FILE; several rows of one person mean several teams.

    Addresses with the same login and id belong to one person, such as after a change of the domain.
    More columns, such as `cursor_id`, may have a person's id in a source that has such ids.

    Raises UsageError, with the row, if the file cannot be read or contradicts itself.
    """
    header, *rows = read_rows(_NAME, path, HEADER)
    names = tuple(name.strip().lower() for name in header)
    known = HEADER if names[: len(HEADER)] == HEADER else HEADER[:-1]
    sources = _sources_with_ids()
    more = names[len(known) :]
    if names[: len(known)] != known or len({*more}) < len(more) or not {*more} <= sources.keys():
        also = f" (and then {', '.join(sorted(sources))}, if you like)" if sources else ""
        raise UsageError(f"{_NAME}: {path}: the header must be {','.join(HEADER)}{also}")
    found: dict[str, Person] = {}
    repeated = []
    owners: _Owners = {}
    for number, where, cells in numbered_rows(_NAME, path, rows, len(names)):
        ids = tuple(
            (sources[name], cell)
            for name, cell in zip(more, cells[len(known) :], strict=True)
            if cell
        )
        if not _add(where, found, ids, *cells[: len(known)]):
            repeated.append(f"{cells[0]} in row {number}")
        _refuse_shared(where, owners, cells[0], found[person_key(cells[0])])
    if repeated:
        logger.warning("IDENTITY_FILE: repeated entries: %s", listed(repeated))
    return _with_all_teams(found)


def _sources_with_ids() -> dict[str, str]:
    """The sources that have their own ids for people, by the name of the column."""
    return {f"{name}_id": name for name in SOURCES if name_kind_of(name) is NameKind.ID}


def people_of(identities: Identities) -> People:
    """Aliases from the identities: the key of a person's first address stands for all their
    addresses, and for their login and ids.
    """
    first: dict[int, str] = {}
    owners = {key: first.setdefault(person.id, key) for key, person in identities.items()}
    return People(
        {key: owner for key, owner in owners.items() if key != owner},
        {person.login.lower(): owners[key] for key, person in identities.items()},
        {each: owners[key] for key, person in identities.items() for each in person.source_ids},
    )


def _add(
    where: str,
    found: dict[str, Person],
    ids: tuple[tuple[str, str], ...],
    email: str,
    login: str,
    number: str,
    team: str = "",
) -> bool:
    """Add a row; False if it only repeats an earlier one."""
    if not email or not login:
        raise UsageError(f"{where}: email and login must not be empty")
    if not _ID.fullmatch(number) or not 0 < int(number) <= LARGEST_ID:
        raise UsageError(
            f"{where}: {number[:20]!r} is not an id; write a number from 1 to {LARGEST_ID}"
        )
    key = person_key(email)
    before = found.get(key, Person(login, int(number)))
    if (before.login, before.id) != (login, int(number)):
        raise UsageError(f"{where}: {email} has another login or id in an earlier row")
    teams = dict.fromkeys([*before.teams, *filter(None, [team])])
    all_ids = dict.fromkeys([*before.source_ids, *ids])
    person = Person(before.login, before.id, tuple(teams), tuple(all_ids))
    new = found.get(key) != person
    found[key] = person
    return new


def _refuse_shared(where: str, owners: _Owners, email: str, person: Person) -> None:
    """Refuse a login or id that another person has: every consumer would merge the two.

    Two addresses with the same login and id belong to one person.
    """
    own: list[tuple[str, object, object]] = [
        ("login", person.login.lower(), person.login.lower()),
        ("id", person.id, person.id),
    ]
    own += [(f"{source}_id", (source, each), each) for source, each in person.source_ids]
    for what, key, value in own:
        other, known = owners.setdefault(key, (email, person))
        if (known.login, known.id) != (person.login, person.id):
            raise UsageError(
                f"{where}: {other} and {email} have the same {what} {value}; if they belong to"
                " one person, write the same login and id in both rows"
            )


def _with_all_teams(found: dict[str, Person]) -> Identities:
    """Each person with the teams, and the ids in sources, of all their addresses."""
    teams: dict[int, dict[str, None]] = {}
    ids: dict[int, dict[tuple[str, str], None]] = {}
    for person in found.values():
        teams.setdefault(person.id, {}).update(dict.fromkeys(person.teams))
        ids.setdefault(person.id, {}).update(dict.fromkeys(person.source_ids))
    return {
        key: Person(person.login, person.id, tuple(teams[person.id]), tuple(ids[person.id]))
        for key, person in found.items()
    }


def sha256_user_id(name: str) -> int:
    """The id in GitHub's reports: a positive number below 2**31, from the SHA-256 of the lower-case
    name. The Copilot JSON uses another, `copilot_converter.md5_user_id`.
    """
    digest = hashlib.sha256(name.lower().encode()).digest()
    return int.from_bytes(digest[:8]) % LARGEST_ID + 1


def persons_of(
    names: Iterable[str],
    identities: Identities,
    rename: Rename = as_they_are,
    people: People | None = None,
) -> dict[str, Person]:
    """Every user as the reports name them, by the name in the store.

    All names of one person map to the same Person. Without an entry in the file, the login is the
    pseudonym or the person's first name in `names`, so that it does not change when another
    spelling appears, and the id follows from the person's key. If somebody else has that login or
    id, it is derived from `NAME#2` (`NAME#3` and so on): whoever comes first in `names` keeps
    theirs.
    """
    people = people or people_of(identities)
    found: dict[str, Person] = {}
    by_key: dict[str, Person] = {}
    unmatched = []
    logins = {person.login.lower() for person in identities.values()}
    ids = {person.id for person in identities.values()}
    for name in names:
        key = people.key(name)
        person = by_key.get(key) or identities.get(key)
        if person is None:
            person = _unlisted(rename(name), rename(key), logins, ids)
            unmatched.append(name)
        by_key[key] = found[name] = person
    if identities:
        unused = [key for key in identities if people.key(key) not in by_key]
        _log_unmatched(unmatched, unused)
    return found


def usual_person(name: str, key: str) -> Person:
    """Somebody without an entry in the file, from the name and key that outputs show, if nobody
    else has that login or id.
    """
    return Person(name, sha256_user_id(key))


def _unlisted(name: str, key: str, logins: set[str], ids: set[int]) -> Person:
    usual = usual_person(name, key)
    person = Person(
        next(tried for tried in _tries(name) if tried.lower() not in logins),
        next(tried for tried in map(sha256_user_id, _tries(key)) if tried not in ids),
    )
    if person != usual:
        logger.warning(
            "%s gets the login %s and the id %d: its own belong to another user",
            name,
            person.login,
            person.id,
        )
    logins.add(person.login.lower())
    ids.add(person.id)
    return person


def _tries(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}#{attempt}" for attempt in itertools.count(2))


def _log_unmatched(unmatched: Collection[str], unused: Collection[str]) -> None:
    if unmatched:
        logger.warning(
            "%d users are not in IDENTITY_FILE and appear under their addresses: %s",
            len(unmatched),
            listed(unmatched),
        )
    if unused:
        logger.info(
            "%d entries of IDENTITY_FILE match nobody in the store: %s",
            len(unused),
            listed(sorted(unused)),
        )


def team_id(slug: str) -> int:
    """The numeric id of a team, derived from the slug."""
    return sha256_user_id(f"team/{slug}")


def members_of_teams(identities: Identities) -> dict[str, list[Person]]:
    """The members of each team by its slug, both sorted; a person with several addresses is there
    only once.
    """
    people = {person.id: person for person in identities.values()}
    teams: dict[str, list[Person]] = {}
    for person in sorted(people.values(), key=lambda person: person.login):
        for slug in person.teams:
            teams.setdefault(slug, []).append(person)
    return dict(sorted(teams.items()))
