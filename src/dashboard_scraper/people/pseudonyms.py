"""Pseudonyms for users in outputs: stable, and meaningless without the key."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import msgspec

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.usage import TenantFigure, UserUsage
from dashboard_scraper.people.people import person_key
from dashboard_scraper.secret_files import read_private

_SHORTEST_KEY = 32
_DIGITS = 20
# Anything that looks like an address, since fields outside the catalogue may have one anywhere.
# Quotes and marks before it, and the end of a sentence or path after it, do not belong to it.
_ADDRESS = re.compile(
    r"""[^\s@<>()\[\],;:"='`*|/\\{}][^\s@<>()\[\],;:"=]*?(?:@|%40)"""
    r"""[^\s@<>()\[\],;:"'=`*|/\\{}&?!#%]*[^\s@<>()\[\],;:"'=`*|/\\{}&?!#%.]""",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S+")

Rename = Callable[[str], str]
"""From a user's address to the name that outputs show."""


def as_they_are(address: str) -> str:
    """No pseudonyms: outputs show the address itself."""
    return address


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The first digits of HMAC-SHA256(key, person), where `key_of` identifies the person."""

    key: bytes = field(repr=False)
    key_of: Callable[[str], str]

    def __call__(self, address: str) -> str:
        digest = hmac.new(self.key, self.key_of(address).encode(), hashlib.sha256).hexdigest()
        return f"user-{digest[:_DIGITS]}"


def rename_of(
    key_file: Path | None,
    key_of: Callable[[str], str] = person_key,
    *,
    allow_readable: bool = False,
) -> Rename:
    """How outputs name users: with a key file, the first digits of HMAC-SHA256(key, person).

    `key_of`, such as `People.key`, maps a name to what identifies the person, so that all spellings
    have the same pseudonym.

    Raises UsageError if the file is missing, readable by others, or too short for a key.
    """
    if key_file is None:
        return as_they_are
    try:
        key = read_private(key_file, allow_readable=allow_readable).strip()
    except FileNotFoundError:
        raise UsageError(
            f"PSEUDONYM_KEY_FILE: {key_file} is missing; restore it, since another key makes other"
            f" pseudonyms, or create one: (umask 077; openssl rand -hex 32 > {key_file})"
        ) from None
    if len(key) < _SHORTEST_KEY:
        raise UsageError(
            f"PSEUDONYM_KEY_FILE: {key_file} has fewer than {_SHORTEST_KEY} characters; create"
            f" a key: (umask 077; openssl rand -hex 32 > {key_file})"
        )

    return Pseudonyms(key, key_of)


def renamed(users: Iterable[UserUsage], rename: Rename) -> list[UserUsage]:
    """The users with the names that outputs show, in the same order."""
    if rename is as_they_are:
        return list(users)
    return [
        msgspec.structs.replace(
            user,
            user=rename(user.user),
            extra={
                _without(name, user.user, rename): (
                    _without(cell, user.user, rename) if isinstance(cell, str) else cell
                )
                for name, cell in user.extra.items()
            },
        )
        for user in users
    ]


def hidden(text: str, rename: Rename, names: Iterable[str] = ()) -> str:
    """The text with pseudonyms for the names, and for everything that looks like an address."""
    if rename is as_they_are:
        return text
    for name in names:
        text = _replaced(text, name, rename)
    return _WORD.sub(lambda match: _of_word(match[0], rename), text)


def _of_word(word: str, rename: Rename) -> str:
    """The word with pseudonyms: most have no address, and searching a long one takes seconds."""
    if "@" not in word and "%40" not in word:
        return word
    return _ADDRESS.sub(lambda match: _of_address(match[0], rename), word)


def _of_address(found: str, rename: Rename) -> str:
    """The pseudonym of an address, even if it is percent-encoded as in a URL."""
    address = found if "@" in found else unquote(found)
    name = rename(address)
    return found if name == address else name


def hidden_in_figures(figures: Iterable[TenantFigure], rename: Rename) -> list[TenantFigure]:
    """The tenant's figures with pseudonyms: fields outside the catalogue may contain a name."""
    return [
        msgspec.structs.replace(
            figure,
            metric=hidden(figure.metric, rename),
            value=hidden(figure.value, rename) if isinstance(figure.value, str) else figure.value,
        )
        for figure in figures
    ]


def _without(text: str, address: str, rename: Rename) -> str:
    """The text with pseudonyms for the user's address and for everything that looks like one."""
    return hidden(_replaced(text, address, rename), rename)


def _replaced(text: str, name: str, rename: Rename) -> str:
    """The text with the pseudonym for the name, except within a longer word: the rest of the word
    would reveal the name.
    """
    if name not in text:
        return text
    word = rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"
    return re.sub(word, lambda _: rename(name), text)
