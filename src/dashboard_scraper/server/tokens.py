"""Tokens with names and scopes, and their file.

Only the SHA-256 of a token is stored. That is enough for 256 random bits: nobody can guess them,
and a slow hash as for passwords would only make every request slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.errors import UsageError
from dashboard_scraper.files import PRIVATE, explained, make_folder
from dashboard_scraper.leftovers import HAVE_FCNTL
from dashboard_scraper.secret_files import read_private, write_private
from dashboard_scraper.server.scopes import Scope

if HAVE_FCNTL:
    import fcntl

SETTING = "SERVE_TOKENS_FILE"
_NAME = r"[a-z0-9][a-z0-9._-]{0,39}"
_BYTES = 32

_Name = Annotated[str, msgspec.Meta(pattern=f"^{_NAME}$")]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Scopes = Annotated[list[Scope], msgspec.Meta(min_length=1)]


class Token(msgspec.Struct, frozen=True):
    """A token without the text that its holder sends; it is not valid from `expires` on."""

    name: str
    scopes: Sequence[Scope]
    sha256: str
    created: datetime | None = None
    expires: datetime | None = None

    @property
    def digest(self) -> bytes:
        """The hash as bytes."""
        return bytes.fromhex(self.sha256)

    def covers(self, scope: Scope) -> bool:
        """Whether the token may read this."""
        return scope in self.scopes

    def has_expired(self, now: datetime) -> bool:
        """Whether it is no longer valid."""
        return self.expires is not None and now >= self.expires


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    scopes: _Scopes
    sha256: _Digest
    created: _Moment
    expires: _Moment | None = None


@decodable
class _File(msgspec.Struct, forbid_unknown_fields=True):
    tokens: list[_Stored]


def hash_of(token: str) -> str:
    """The part of a token that is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path, *, allow_readable: bool = False) -> list[Token]:
    """The tokens in the file; UsageError if it is damaged or others can read it, FileNotFoundError
    if it does not exist.
    """
    data = read_private(path, allow_readable=allow_readable)
    try:
        stored = msgspec.json.decode(data, type=_File).tokens
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{SETTING}: {path} is damaged: {error}; restore it from a backup, or remove it and"
            " add the tokens again"
        ) from None
    for what in ("name", "sha256"):
        values = [getattr(each, what) for each in stored]
        if len(set(values)) < len(values):
            raise UsageError(f"{SETTING}: {path} has two tokens with the same {what}")
    return [Token(e.name, tuple(e.scopes), e.sha256, e.created, e.expires) for e in stored]


def add_token(
    path: Path,
    name: str,
    scopes: Sequence[Scope],
    created: datetime,
    expires: datetime | None,
    *,
    allow_readable: bool = False,
) -> str:
    """Make a token and add it to the file; returns the text that its holder sends, which is not
    stored.

    UsageError if the name is taken or not a valid name.
    """
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"{name!r} is not a name of a token: write up to 40 of a-z, 0-9, '.', '_' and '-', and"
            " begin with a letter or digit"
        )
    text = secrets.token_urlsafe(_BYTES)
    ordered = tuple(scope for scope in Scope if scope in scopes)
    with _alone(path):
        tokens = _tokens_or_none(path, allow_readable=allow_readable)
        if any(each.name == name for each in tokens):
            raise UsageError(f"there is a token {name} already; revoke it, or choose another name")
        _write(path, [*tokens, Token(name, ordered, hash_of(text), created, expires)])
    return text


def revoke_token(path: Path, name: str, *, allow_readable: bool) -> None:
    """Remove a token from the file; UsageError if the file has none with this name."""
    with _alone(path):
        tokens = _tokens_or_none(path, allow_readable=allow_readable)
        others = [each for each in tokens if each.name != name]
        if len(others) == len(tokens):
            raise UsageError(f"{path} has no token {name}; `tokens list` shows those that it has")
        _write(path, others)


def _tokens_or_none(path: Path, *, allow_readable: bool) -> list[Token]:
    try:
        return read_tokens(path, allow_readable=allow_readable)
    except FileNotFoundError:
        return []


def _write(path: Path, tokens: Sequence[Token]) -> None:
    data = msgspec.json.format(msgspec.json.encode({"tokens": tokens}))
    write_private(path, data + b"\n", SETTING)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let only one program at a time read the file and write it again."""
    make_folder(path.parent, 0o700)
    if not HAVE_FCNTL:
        yield
        return
    # Each change replaces the file itself, so its lock would then belong to another file.
    beside = path.with_name(f"{path.name}.lock")
    with explained(beside):
        lock = os.open(beside, os.O_WRONLY | os.O_CREAT, PRIVATE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
