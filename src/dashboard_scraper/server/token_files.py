"""The files with the tokens in force: one token for everything, and several with scopes."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from dashboard_scraper.errors import UsageError
from dashboard_scraper.hosts import is_loopback
from dashboard_scraper.secret_files import read_private, write_private
from dashboard_scraper.server.access import Credentials
from dashboard_scraper.server.tokens import Token, read_tokens

SINGLE = "SERVE_TOKEN_FILE"
"""The name of the token for everything: no token in the other file can have it."""
_SHORTEST_TOKEN = 20

T = TypeVar("T")


class TokenFiles:
    """Reads both files; either may be missing."""

    def __init__(self, single: Path, several: Path, *, allow_readable: bool = False) -> None:
        self._single = single
        self._several = several
        self._allow_readable = allow_readable
        self._text: str | None = None
        # Nobody who reads the hashes may be able to sign links: without a token whose text is
        # known, the secret is random, and links end with the process.
        self._secret = secrets.token_bytes(32)
        self._found: set[Path] = set()
        self._of_pipes: dict[Path, object] = {}
        """The content of files that can be read only once."""

    @property
    def paths(self) -> tuple[Path, Path]:
        """The paths of both files."""
        return self._single, self._several

    def at_start(self, host: str) -> tuple[Credentials, str | None]:
        """The tokens, and the new token's text if one was created because neither file exists.

        UsageError if the files are damaged or have no token, or if others can read them.
        """
        tokens = self._read(self._several, read_tokens)
        if tokens is None:
            allow = self._allow_readable
            self._text, is_new = read_or_make_token(self._single, host, allow_readable=allow)
            self._remember(self._single, self._text)
            return self._credentials(()), self._text if is_new else None
        self._text = self._read(self._single, read_token)
        if not tokens and self._text is None:
            raise UsageError(
                f"there is no token in {self._several}, and none in {self._single}; create one:"
                " tokens add NAME --scope reports"
            )
        return self._credentials(tokens), None

    def again(self) -> Credentials:
        """The current tokens, perhaps none; UsageError if a file is damaged or has gone."""
        tokens = self._read(self._several, read_tokens)
        self._text = self._read(self._single, read_token)
        return self._credentials(tokens or ())

    def _read(self, path: Path, read: Callable[..., T]) -> T | None:
        """What the file contains; None if there is no file, and there was none before. A file that
        is lost does not mean that somebody has revoked its tokens.
        """
        if path in self._of_pipes:
            return cast("T", self._of_pipes[path])
        try:
            found = read(path, allow_readable=self._allow_readable)
        except FileNotFoundError:
            if path in self._found:
                raise UsageError(
                    f"{path} has gone; put it back, or start the server again without it"
                ) from None
            return None
        self._remember(path, found)
        return found

    def _remember(self, path: Path, found: object) -> None:
        self._found.add(path)
        if not path.is_file():
            self._of_pipes[path] = found

    def _credentials(self, tokens: Sequence[Token]) -> Credentials:
        if self._text is None:
            return Credentials(tuple(tokens), self._secret)
        return Credentials.of_token(self._text, SINGLE, tokens)


def all_tokens(single: Path, several: Path, *, allow_readable: bool) -> list[Token]:
    """The tokens of both files, either of which may be missing, for a list."""
    found: list[Token] = []
    with contextlib.suppress(FileNotFoundError):
        text = read_token(single, allow_readable=allow_readable)
        found += Credentials.of_token(text, SINGLE).tokens
    with contextlib.suppress(FileNotFoundError):
        found += read_tokens(several, allow_readable=allow_readable)
    return found


def read_or_make_token(path: Path, host: str, *, allow_readable: bool = False) -> tuple[str, bool]:
    """The token, and whether it was created just now.

    UsageError if others can read the file, if it has no valid token, or if a first start would be
    open to other machines: nobody has the token yet.
    """
    try:
        return read_token(path, allow_readable=allow_readable), False
    except FileNotFoundError:
        if not is_loopback(host):
            raise UsageError(
                f"--host {host} lets other machines in, but there is no token in {path} yet; start"
                " once without --host, which creates one, or write one there, or create some with"
                " scopes: tokens add NAME --scope reports"
            ) from None
        token = secrets.token_urlsafe(32)
        write_private(path, token.encode() + b"\n", SINGLE)
        return token, True


def read_token(path: Path, *, allow_readable: bool = False) -> str:
    """The token for everything; UsageError as in `read_or_make_token`, or FileNotFoundError."""
    try:
        token = read_private(path, allow_readable=allow_readable).decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{SINGLE}: {path} has no token") from None
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise UsageError(
            f"{SINGLE}: {path} has no token of at least {_SHORTEST_TOKEN} characters;"
            " remove it, and the next start creates one"
        )
    return token
