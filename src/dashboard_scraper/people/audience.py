"""Whom outputs show, under which name, and which users are one person."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.figures import accept_rate, is_active
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.identity import Identities, Person, persons_of
from dashboard_scraper.people.people import People, Spelling, person_key
from dashboard_scraper.people.pseudonyms import Pseudonyms, Rename, as_they_are, renamed


class Account(Protocol):
    """Anything with a name in a source's spelling, and whether it is a service account's."""

    @property
    def user(self) -> str: ...

    @property
    def service(self) -> bool: ...


class Audience(msgspec.Struct, frozen=True):
    """How outputs show people, from the settings.

    `rename` returns pseudonyms, the same for all spellings of a person. `identities` are those that
    outputs may show: none if there are pseudonyms. `people` has their aliases either way, since a
    person with two addresses is still one person.
    """

    rename: Rename = as_they_are
    service_accounts: bool = True
    identities: Identities = {}
    people: People = msgspec.field(default_factory=People)

    def of(self, source: str) -> Audience:
        """The same for the names of one source, which decides what kind of name a name without `@`
        is.
        """
        people, rename = self.people.of(source), self.rename
        if isinstance(rename, Pseudonyms):
            rename = dataclasses.replace(rename, key_of=people.key)
        return replace(self, rename=rename, people=people)

    @property
    def anonymous(self) -> bool:
        """Whether outputs show pseudonyms."""
        return self.rename is not as_they_are

    @property
    def has_teams(self) -> bool:
        """Whether anybody's teams are known."""
        return any(person.teams for person in self.identities.values())

    def includes(self, *, service: bool) -> bool:
        """Whether outputs include such an account; the store includes all."""
        return self.service_accounts or not service

    def left_out(self, accounts: Iterable[Account]) -> set[str]:
        """The accounts that outputs leave out, by `person_key`; the people may still be shown."""
        return {
            person_key(each.user) for each in accounts if not self.includes(service=each.service)
        }

    def person(self, name: str) -> str:
        """An identifier that is the same for all spellings of a person, and may be shown."""
        return self.rename(name) if self.anonymous else self.people.key(name)

    def person_of_shown(self, name: str) -> str:
        """Like `person`, for a name that `shown` returned."""
        return name if self.anonymous else self.people.key(name)

    def persons(self, names: Iterable[str]) -> dict[str, Person]:
        """Every user as GitHub's reports name them, by the names in the store: see `persons_of`."""
        return persons_of(names, self.identities, self.rename, self.people)

    def shown(self, users: Iterable[UserUsage], days: int = 1) -> list[UserUsage]:
        """The users that outputs show for a period of `days`, each person once.

        Each has a pseudonym, or the name in the source's spelling. If there are several spellings,
        it is the last in alphabetical order, so that the order of the answer does not matter.
        """
        included = [user for user in users if self.includes(service=user.service)]
        keys = [self.people.key(user.user) for user in included]
        named = renamed(included, self.rename)
        if len(set(keys)) < len(keys):
            groups: dict[str, list[UserUsage]] = {}
            for key, user in zip(keys, named, strict=True):
                groups.setdefault(key, []).append(user)
            named = [_one(group, days) for group in groups.values()]
        elif not self.anonymous:
            return named
        return sorted(named, key=lambda user: user.user)

    def naming(self, spellings: Iterable[Spelling]) -> Naming:
        """The names in one output, chosen from the spellings that occur in it."""
        return Naming(self, {} if self.anonymous else self.people.newest_names(spellings))


class Naming:
    """One name per person in an output: the pseudonym or, without pseudonyms, the newest spelling
    there.
    """

    def __init__(self, audience: Audience, names: dict[str, str]) -> None:
        self._audience = audience
        self._names = names
        self._known: dict[str, str] = {}

    def name(self, login: str) -> str:
        """The person's name; for somebody outside the output, the spelling asked for first."""
        known = self._known.get(login)
        if known is None:
            audience = self._audience
            if audience.anonymous:
                known = audience.rename(login)
            else:
                known = self._names.setdefault(audience.people.key(login), login)
            self._known[login] = known
        return known

    def names(self, users: Iterable[Account]) -> set[str]:
        """The names of the users that outputs include."""
        return {
            self.name(each.user) for each in users if self._audience.includes(service=each.service)
        }

    def shown(self, users: Iterable[UserUsage]) -> list[UserUsage]:
        """One day's users as in `Audience.shown`, under these names and sorted by them."""
        return self.renamed(self._audience.shown(users))

    def renamed(self, shown: list[UserUsage]) -> list[UserUsage]:
        """The result of `Audience.shown`, under these names and sorted by them."""
        if self._audience.anonymous or all(self.name(user.user) == user.user for user in shown):
            return shown
        return sorted(
            (
                UserUsage(self.name(user.user), user.figures, user.extra, user.service)
                for user in shown
            ),
            key=lambda user: user.user,
        )


def _one(spellings: Sequence[UserUsage], days: int) -> UserUsage:
    """One person, merged from the spellings under which the source reports them."""
    if len(spellings) == 1:
        return spellings[0]
    return UserUsage(
        max(user.user for user in spellings),
        _figures([user.figures for user in spellings], days),
        _extra([user.extra for user in spellings]),
        all(user.service for user in spellings),
    )


def _figures(spellings: Sequence[Figures], days: int) -> Figures:
    """Counts are added and derived values computed again; an unknown part makes an unknown sum.

    If no spelling was active, neither was the person: added up, the unknown figures of two
    spellings could look like possible activity.
    """
    counts = sum_of(spellings)
    first = _all_known(each.first_seen for each in spellings)
    last = _all_known(each.last_seen for each in spellings)
    active = _all_known(each.active_days for each in spellings)
    found = replace(
        counts,
        first_seen=min(first) if first else None,
        last_seen=max(last) if last else None,
        active_days=_days_together(active, days) if active else None,
        acceptance_rate=accept_rate(counts.completions_count, counts.completions_accepted),
    )
    if is_active(found) and not any(map(is_active, spellings)):
        return replace(found, active_days=0)
    return found


_T = TypeVar("_T")


def _all_known(parts: Iterable[_T | None]) -> list[_T] | None:
    """The parts, or None if one of them is unknown."""
    listed = list(parts)
    known = [part for part in listed if part is not None]
    return known if len(known) == len(listed) else None


def _days_together(parts: Sequence[int], days: int) -> int | None:
    """On how many days of the period any of the spellings was active.

    It is unknown which days coincide, so there is an answer only if the lower and the upper bound
    are equal.
    """
    fewest, most = max(parts), min(sum(parts), days)
    return fewest if fewest == most else None


def _extra(extras: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    """Fields outside the catalogue cannot be added up: values that differ between spellings are
    unknown.
    """
    found: dict[str, Cell] = {}
    for extra in extras:
        for name, cell in extra.items():
            found[name] = cell if found.setdefault(name, cell) == cell else None
    return found
