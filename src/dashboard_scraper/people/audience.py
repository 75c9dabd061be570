"""Whom outputs show, who of them is one person, and under which name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from dashboard_scraper.model.figures import accept_rate, sum_of
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.identity import Identities
from dashboard_scraper.people.people import People, Spelling
from dashboard_scraper.people.pseudonyms import Rename, as_they_are, renamed


class Account(Protocol):
    """Whatever has a name as a source spells it, and says whether that is no person's."""

    @property
    def user(self) -> str: ...

    @property
    def service(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Audience:
    """What the settings say of the people in outputs.

    `rename` gives pseudonyms, which are the same for all spellings of a person. `identities` are
    those that outputs may show: nobody's where there are pseudonyms, whose aliases `people` has.
    """

    rename: Rename = as_they_are
    service_accounts: bool = True
    identities: Identities = field(default_factory=dict)
    people: People = field(default_factory=People)

    @property
    def anonymous(self) -> bool:
        """Whether outputs have pseudonyms."""
        return self.rename is not as_they_are

    @property
    def has_teams(self) -> bool:
        """Whether the teams of anybody are known."""
        return any(person.teams for person in self.identities.values())

    def includes(self, *, service: bool) -> bool:
        """Whether outputs have such an account; the store has them all."""
        return self.service_accounts or not service

    def person(self, name: str) -> str:
        """What is the same for all of a person's spellings, and may be shown."""
        return self.rename(name) if self.anonymous else self.people.key(name)

    def person_of_shown(self, name: str) -> str:
        """As `person`, by the name that `shown` gave."""
        return name if self.anonymous else self.people.key(name)

    def shown(self, users: Iterable[UserUsage], days: int = 1) -> list[UserUsage]:
        """The users that outputs have, once each, of a period of so many days.

        Each has a pseudonym, or the name as the source spells it: of several spellings, the last in
        alphabetical order.
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
        """The names of one output, whose users are spelt so."""
        return Naming(self, {} if self.anonymous else self.people.newest_names(spellings))


class Naming:
    """One name for each person of an output: the pseudonym, or else the newest spelling in it."""

    def __init__(self, audience: Audience, names: dict[str, str]) -> None:
        self._audience = audience
        self._names = names
        self._known: dict[str, str] = {}

    def name(self, login: str) -> str:
        """The person's; of somebody who is not in the output, the spelling that is asked first."""
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
        """Of those of the users that outputs have."""
        return {
            self.name(each.user) for each in users if self._audience.includes(service=each.service)
        }

    def shown(self, users: Iterable[UserUsage]) -> list[UserUsage]:
        """One day's users that outputs have, once each, under these names and in their order."""
        return self.renamed(self._audience.shown(users))

    def renamed(self, shown: list[UserUsage]) -> list[UserUsage]:
        """What `Audience.shown` gave, under these names and in their order."""
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
    """One person of what the source has under several spellings."""
    if len(spellings) == 1:
        return spellings[0]
    return UserUsage(
        max(user.user for user in spellings),
        _figures([user.figures for user in spellings], days),
        _extra([user.extra for user in spellings]),
        all(user.service for user in spellings),
    )


def _figures(spellings: Sequence[Figures], days: int) -> Figures:
    """Counts are added, and what follows from them is found anew; unknown parts make unknown."""
    counts = sum_of(spellings)
    first = _all_known(each.first_seen for each in spellings)
    last = _all_known(each.last_seen for each in spellings)
    active = _all_known(each.active_days for each in spellings)
    return msgspec.structs.replace(
        counts,
        first_seen=min(first) if first else None,
        last_seen=max(last) if last else None,
        active_days=_days_together(active, days) if active else None,
        acceptance_rate=accept_rate(counts.completions_count, counts.completions_accepted),
    )


_T = TypeVar("_T")


def _all_known(parts: Iterable[_T | None]) -> list[_T] | None:
    """The parts; None where one is unknown."""
    listed = list(parts)
    known = [part for part in listed if part is not None]
    return known if len(known) == len(listed) else None


def _days_together(parts: Sequence[int], days: int) -> int | None:
    """On how many of a period's days one of the spellings was active, where that is certain."""
    fewest, most = max(parts), min(sum(parts), days)
    return fewest if fewest == most else None


def _extra(extras: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    """Of fields whose meaning nobody knows, a value is that of all or unknown."""
    found: dict[str, Cell] = {}
    for extra in extras:
        for name, cell in extra.items():
            found[name] = cell if found.setdefault(name, cell) == cell else None
    return found
