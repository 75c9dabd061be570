"""Which names belong to one person: one definition, shared by the store and every output.

An address is spelled in several ways: with capitals after a change of single sign-on, in composed
or decomposed Unicode by different clients. All spellings have one key. Beyond that, only
IDENTITY_FILE knows that two addresses belong to one person, as after a change of the domain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from dashboard_scraper.model.addresses import cleaned

Spelling = tuple[str, date]
"""A name as the source wrote it, and the newest day on which it did."""


def person_key(name: str) -> str:
    """A key for every spelling of an address: as `addresses.cleaned` returns it, case-folded.

    A name without `@` belongs to a service account and is case-sensitive.
    """
    name = cleaned(name)
    if "@" not in name:
        return name
    if name.isascii():
        return name.lower()
    # Unicode's canonical caseless matching: folding a composed letter may leave its mark apart.
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


@dataclass(frozen=True, slots=True)
class People:
    """`person_key` plus the aliases of IDENTITY_FILE: the person's key by the key of each alias."""

    aliases: Mapping[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The person's key; with several addresses, that of the first in IDENTITY_FILE."""
        key = person_key(name)
        return self.aliases.get(key, key)

    def keys_of(self, name: str) -> set[str]:
        """The keys of all addresses of the person who has this one."""
        person = self.key(name)
        return {person, *(alias for alias, owner in self.aliases.items() if owner == person)}

    def newest_names(self, spellings: Iterable[Spelling]) -> dict[str, str]:
        """The newest spelling of each person, by key; on one day, the last by alphabet."""
        newest: dict[str, Spelling] = {}
        for name, day in spellings:
            key = self.key(name)
            before = newest.get(key)
            if before is None or (day, name) > (before[1], before[0]):
                newest[key] = name, day
        return {key: name for key, (name, _) in newest.items()}
