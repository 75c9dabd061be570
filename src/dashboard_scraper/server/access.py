"""Who is let in: anybody who sends one of the tokens, or a link that was signed for one of them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Sequence

import msgspec

from dashboard_scraper.server.scopes import Scope
from dashboard_scraper.server.tokens import Token, hash_of

_SCHEMES = ("bearer", "token", "basic")
LINK_SECONDS = 3600
"""As long as GitHub's own links are valid."""


class Credentials(msgspec.Struct, frozen=True):
    """The tokens in force, and the secret with which links are signed."""

    tokens: tuple[Token, ...]
    link_secret: bytes

    @classmethod
    def of_token(cls, text: str, name: str, others: Sequence[Token] = ()) -> Credentials:
        """One token for everything, together with `others`. The secret is derived from it, so that
        links stay valid across restarts, and on every server with the same token.
        """
        one = Token(name, tuple(Scope), hash_of(text))
        return cls((one, *others), hmac.digest(text.encode(), b"download links", "sha256"))


class _Known(msgspec.Struct, frozen=True):
    token: Token
    digest: bytes
    key: bytes
    """The key of its links: they end with the token, even if another token gets its name."""


class Access:
    """Finds the token of a request or link, in a time that does not show how much is right."""

    def __init__(self, credentials: Credentials) -> None:
        self.replace(credentials)

    def replace(self, credentials: Credentials) -> None:
        """Accept these from now on, and no others."""
        secret = credentials.link_secret
        self._known = tuple(
            _Known(token, token.digest, hmac.digest(secret, token.digest, "sha256"))
            for token in credentials.tokens
        )

    def token_of(self, authorization: str) -> Token | None:
        """The token in `Bearer TOKEN`, `token TOKEN`, or Basic with the token as password."""
        scheme, _, sent = authorization.partition(" ")
        if scheme.lower() == "basic":
            sent = _password_of(sent)
        digest = hashlib.sha256(sent.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for each in self._known:
            if hmac.compare_digest(digest, each.digest):
                found = each.token
        return found if scheme.lower() in _SCHEMES else None

    def sign(self, path: str, expires: int, token: Token) -> str:
        """A signature with which anybody may read `path` until `expires`, in seconds since 1970, as
        long as the token is in force.
        """
        keys = (each.key for each in self._known if each.token.sha256 == token.sha256)
        # A token may be revoked while its request is answered: then the link is valid for nobody.
        return _signature(next(keys, secrets.token_bytes(32)), path, expires)

    def signer_of(self, path: str, expires: str, signature: str) -> Token | None:
        """The token for which the link was signed, if it was signed for this path and for exactly
        this spelling of the number.
        """
        if not (expires.isascii() and expires.isdigit()) or str(int(expires[:20])) != expires:
            return None
        sent, found = signature.encode("utf-8", "surrogateescape"), None
        for each in self._known:
            if hmac.compare_digest(_signature(each.key, path, int(expires)).encode(), sent):
                found = each.token
        return found


def _signature(key: bytes, path: str, expires: int) -> str:
    return hmac.digest(key, f"{expires} {path}".encode(), "sha256").hex()


def _password_of(credentials: str) -> str:
    """The password in Basic credentials (RFC 7617); empty if they are malformed."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    return ""
