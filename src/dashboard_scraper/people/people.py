"""Who is one person: the one definition, which the store and every output share.

An address is written in several ways: in capitals once single sign-on was switched, in composed or
decomposed Unicode by different clients. All of them have one key. Beyond that, only IDENTITY_FILE
knows that two addresses are one person's, as after a change of the domain.
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
    """The same for every spelling of an address: as `addresses.cleaned` makes it, and case-folded.

    A name without `@` is a service account's, and distinguishes capitals.
    """
    name = cleaned(name)
    if "@" not in name:
        return name
    if name.isascii():
        return name.lower()
    # Unicode's canonical caseless match: to fold a composed letter may leave a mark apart.
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


@dataclass(frozen=True, slots=True)
class People:
    """The definition with what IDENTITY_FILE adds: the person's key by the key of each alias."""

    aliases: Mapping[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The person's: of somebody with several addresses, that of the first in IDENTITY_FILE."""
        key = person_key(name)
        return self.aliases.get(key, key)

    def keys_of(self, name: str) -> set[str]:
        """The keys of all the addresses of the person whose name is one of them."""
        person = self.key(name)
        return {person, *(alias for alias, owner in self.aliases.items() if owner == person)}

    def newest_names(self, spellings: Iterable[Spelling]) -> dict[str, str]:
        """Each person's name by the key: the newest spelling, of several on that day the last."""
        newest: dict[str, Spelling] = {}
        for name, day in spellings:
            key = self.key(name)
            before = newest.get(key)
            if before is None or (day, name) > (before[1], before[0]):
                newest[key] = name, day
        return {key: name for key, (name, _) in newest.items()}
