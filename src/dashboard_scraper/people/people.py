"""Which names belong to one person: one definition, shared by the store and every output.

An address may have several spellings: with capitals after a change of single sign-on, or in
composed or decomposed Unicode from different clients. All spellings have the same key. Beyond that,
only IDENTITY_FILE knows that two addresses, or a login at GitHub and an address, belong to one
person.

A name without `@` is ambiguous: `ada` is a login in one source and a service account in another. So
its key depends on the source (`People.of`), and never equals that of a namesake.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date

import msgspec
from msgspec.structs import replace

from dashboard_scraper.model.addresses import cleaned, is_address
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.sources.registry import name_kind_of

_GITHUB = "github"
_PSEUDONYM = re.compile(r"user-[0-9a-f]{20}")

Spelling = tuple[str, date]
"""A name in the source's spelling, and the newest day with that spelling."""


@functools.lru_cache(maxsize=65_536)
def person_key(name: str) -> str:
    """A key for every spelling of an address: as `addresses.cleaned` returns it, case-folded.

    A name without `@` is case-sensitive. Cached: a run asks a dozen times for the key of a name.
    """
    name = cleaned(name)
    return folded(name) if is_address(name) else name


def folded(text: str) -> str:
    """The text without differences in case and composition, as in Unicode's canonical caseless
    matching.
    """
    if text.isascii():
        return text if text.islower() else text.lower()  # no copy, since caches keep many
    # Folding a composed letter may separate its mark.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def is_pseudonym(name: str) -> bool:
    """Whether the name looks like a pseudonym made by `pseudonyms`."""
    return _PSEUDONYM.fullmatch(name) is not None


class People(msgspec.Struct, frozen=True):
    """`person_key` plus what IDENTITY_FILE knows: a person's key by the key of each further
    address, by each login in lower case, and by each source's id.

    `source` decides what kind of name a name without `@` is; without a source, it is a service
    account's.
    """

    aliases: Mapping[str, str] = {}
    logins: Mapping[str, str] = {}
    ids: Mapping[tuple[str, str], str] = {}
    source: str = ""
    kind: NameKind = NameKind.SERVICE_ACCOUNT

    def of(self, source: str) -> People:
        """The same people, for names as this source writes them."""
        return replace(self, source=source, kind=name_kind_of(source))

    def account_key(self, name: str) -> str:
        """The same for every spelling of one name; logins are case-insensitive."""
        key = person_key(name)
        return key.lower() if self.kind is NameKind.LOGIN else key

    def key(self, name: str) -> str:
        """The person's key; if there are several addresses, that of the first in IDENTITY_FILE."""
        key = person_key(name)
        if is_address(key) or self.kind is NameKind.SERVICE_ACCOUNT:
            return self.aliases.get(key, key)
        if is_pseudonym(key):  # in the lake of an export with pseudonyms
            return key
        if self.kind is NameKind.LOGIN:
            login = key.lower()
            return self.logins.get(login, f"{_GITHUB}:{login}")
        return self.ids.get((self.source, key), f"{self.source}:{key}")

    @property
    def known(self) -> dict[str, str]:
        """What IDENTITY_FILE decides: a person's key, by the key that a name would have without the
        file.
        """
        matched: dict[str, str] = {}
        if self.kind is NameKind.LOGIN:
            matched = {f"{_GITHUB}:{login}": key for login, key in self.logins.items()}
        elif self.kind is NameKind.ID:
            matched = {
                f"{source}:{number}": key
                for (source, number), key in self.ids.items()
                if source == self.source
            }
        return {**self.aliases, **matched}

    def is_matched(self, name: str) -> bool:
        """Whether it is known which address the name belongs to; service accounts have none."""
        return is_address(self.key(name)) or self.kind is NameKind.SERVICE_ACCOUNT

    def keys_of(self, name: str) -> set[str]:
        """The keys of all addresses of the person who has this one."""
        person = self.key(name)
        return {person, *(alias for alias, owner in self.aliases.items() if owner == person)}

    def names_in(self, names: Iterable[str], person: str) -> set[str]:
        """The names that belong to the person with this key."""
        return {name for name in names if self.key(name) == person}

    def newest_names(self, spellings: Iterable[Spelling]) -> dict[str, str]:
        """The newest spelling of each person, by key; of several on one day, the last in
        alphabetical order.
        """
        newest: dict[str, Spelling] = {}
        for name, day in spellings:
            key = self.key(name)
            before = newest.get(key)
            if before is None or (day, name) > (before[1], before[0]):
                newest[key] = name, day
        return {key: name for key, (name, _) in newest.items()}
